"""Waiting for disks, giving a try back, and which disk is the system's."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from orlop.model.disk import names
from orlop.model.update.boot import Uki
from orlop.model.words.version import Version
from orlop.node.config import systemdisk, tries
from orlop.node.config.devices import AGAIN_SECONDS, SPARE_SECONDS, Waiting
from orlop.node.config.eachboot import Disks, for_disks
from orlop.node.config.failure import StageFailed
from orlop.node.config.rendering import Rendering

SRV = {"device": "/dev/vdb", "format": "ext4", "path": "/srv"}
MANDATORY = Rendering({"storage": {"filesystems": [SRV]}})
OPTIONAL = Rendering({"storage": {"filesystems": [{**SRV, "mountOptions": ["nofail"]}]}})


class Clock:
    """Time that passes only while it is waited; a device comes at a moment."""

    def __init__(self, comes: float = float("inf")) -> None:
        self.now, self.comes, self.events = 0.0, comes, list[str]()

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def look(self, devices: Sequence[str]) -> Collection[str]:
        return devices if self.now >= self.comes else ()

    @contextmanager
    def lent(self) -> Iterator[None]:
        self.events.append("lent")
        yield
        self.events.append("taken")

    def waiting(self, limit: float | None = None) -> Waiting:
        return Waiting(self.events.append, self.lent, limit, self.look, lambda: self.now, self.pause)


def test_a_disk_that_comes_soon_costs_nothing_but_the_time() -> None:
    clock = Clock(comes=3)
    assert clock.waiting().wait(MANDATORY, ()).is_whole
    assert (clock.now, clock.events) == (3, [])


def test_what_can_be_spared_is_waited_for_a_while() -> None:
    clock = Clock()
    missing = clock.waiting().wait(OPTIONAL, ())
    assert missing.notes and missing.config.storage.filesystems == []
    assert (clock.now, clock.events) == (SPARE_SECONDS, [])


def test_what_cannot_be_spared_is_waited_for_with_words_and_the_try_is_given_back() -> None:
    clock = Clock(comes=SPARE_SECONDS + AGAIN_SECONDS + 30)
    assert clock.waiting().wait(MANDATORY, ()).is_whole
    sentence = "waiting: /dev/vdb is missing, and the file system /srv needs it"
    assert clock.events[:2] == ["lent", sentence]
    assert clock.events.count(sentence) == 2
    assert clock.events[-1] == "taken"


def test_a_version_on_trial_does_not_wait_for_ever() -> None:
    clock = Clock()
    with pytest.raises(StageFailed, match="/dev/vdb is missing"):
        clock.waiting(limit=900).wait(MANDATORY, ())
    assert clock.now < 900 + SPARE_SECONDS + 2


def test_without_devices_there_is_nothing_to_wait_for() -> None:
    clock = Clock()
    assert clock.waiting().wait(Rendering({"ignition": {}}), ()).is_whole
    assert clock.now == 0


UKI = Uki(Version.parse("20261201.1"), 2, 1)


def test_the_counter_is_read_from_the_loader(tmp_path: Path) -> None:
    assert tries.counted(tmp_path / "none") is None
    path = "\\EFI\\Linux\\orlop_20261201.1+2-1.efi\0"
    (tmp_path / "counted").write_bytes(b"\6\0\0\0" + path.encode("utf-16-le"))
    assert tries.counted(tmp_path / "counted") == UKI


def test_a_try_is_given_back_and_taken_again(tmp_path: Path) -> None:
    (tmp_path / UKI.name).write_text("uki")
    tries.renamed(tmp_path, UKI, tries.untried(UKI))
    assert [p.name for p in tmp_path.iterdir()] == ["orlop_20261201.1+3-0.efi"]
    tries.renamed(tmp_path, tries.untried(UKI), UKI)
    assert (tmp_path / "orlop_20261201.1+2-1.efi").read_text() == "uki"
    tries.renamed(tmp_path, tries.untried(UKI), UKI)  # nothing to do
    assert tries.untried(UKI.bless()) == UKI.bless()


def block(sysfs: Path, name: str, number: str, *, inside: str = "", slaves: Collection[str] = ()) -> Path:
    """A block device in a sysfs; `inside`: the disk that it is a partition of."""
    place = sysfs / "devices" / inside / name
    place.mkdir(parents=True)
    if inside:
        (place / "partition").write_text("1\n")
    (place / "slaves").mkdir()
    for slave in slaves:
        (place / "slaves" / slave).symlink_to(next((sysfs / "devices").rglob(slave)))
    (sysfs / "dev/block").mkdir(parents=True, exist_ok=True)
    (sysfs / "dev/block" / number).symlink_to(place)
    return place


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    top = tmp_path / "sys"
    block(top, "vda", "254:0")
    block(top, "vda3", "254:3", inside="vda")
    block(top, "vdb", "254:16")
    block(top, "md127", "9:127", slaves=["vda3", "vdb"])
    mapped = block(top, "dm-0", "253:0", slaves=["md127"])
    (mapped / "dm").mkdir()
    (mapped / "dm/name").write_text("usr\n")
    (top / "block").mkdir()
    (top / "block/dm-0").symlink_to(mapped)
    return top


@pytest.mark.parametrize(
    ("number", "disks"),
    [
        ("254:0", {"vda"}),
        ("254:3", {"vda"}),
        ("254:16", {"vdb"}),
        ("9:127", {"vda", "vdb"}),
        ("253:0", {"vda", "vdb"}),
    ],
)
def test_every_device_is_followed_to_its_disks(sysfs: Path, number: str, disks: set[str]) -> None:
    assert systemdisk.below(sysfs / "dev/block" / number) == disks
    assert systemdisk.of_usr(sysfs) == "vda"


def test_a_loop_of_links_is_refused_and_what_is_not_there_is_on_no_disk(tmp_path: Path, sysfs: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).symlink_to(tmp_path / other)
    with pytest.raises(StageFailed, match="cannot be followed"):
        systemdisk.disks(str(tmp_path / "a"), sysfs)
    assert systemdisk.disks(str(tmp_path / "none"), sysfs) == set()
    assert systemdisk.disks(__file__, sysfs) == set()


@pytest.mark.skipif(
    not Path("/dev/loop0").exists() and os.geteuid() != 0, reason="needs a block device, or root to make one"
)
@pytest.mark.parametrize("kind", ["disks", "luks", "filesystems", "raid", "options"])
def test_whatever_the_system_s_disk_is_called_nothing_is_written_to_it(tmp_path: Path, sysfs: Path, kind: str) -> None:
    node = tmp_path / "node"
    try:
        os.mknod(node, 0o60600, os.makedev(254, 3))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    link = tmp_path / "by-id"
    link.symlink_to(node)
    entry = {
        "raid": {"raid": [{"devices": ["/dev/none", str(link)]}]},
        "options": {"filesystems": [{"device": "/dev/none", "options": [str(link)]}]},
    }
    storage = entry.get(kind, {kind: [{"device": str(link)}]})
    with pytest.raises(StageFailed, match="which this machine runs from"):
        systemdisk.refuse(Rendering({"storage": storage}), "vda", sysfs)
    systemdisk.refuse(Rendering({"storage": storage}), "vdb", sysfs)


@pytest.mark.parametrize(
    ("device", "is_system"),
    [
        ("/dev/disk/by-partlabel/var", True),
        ("/dev/disk/by-partlabel/../by-partlabel//esp", True),
        ("/dev/disk/by-partlabel/orlop_20261201.1_verity", True),
        ("/dev/disk/by-path/pci-0000:00:04.0-part/by-partlabel/_empty", True),
        ("/dev/mapper/usr", True),
        ("/dev/disk/orlop/esp", True),
        ("/dev/disk/by-id/coreos-boot-disk", True),
        ("/dev/disk/by-partlabel/var-data", False),
        ("/dev/disk/by-label/var", False),
        ("/dev/vda", False),
    ],
)
def test_what_the_name_shows(device: str, is_system: bool) -> None:
    assert names.is_system(device) is is_system
    volume = {"name": "x", "device": device, "keyFile": {"source": "data:,"}}
    config = Rendering({"storage": {"luks": [volume]}})
    if is_system:
        with pytest.raises(StageFailed, match="the system's own"):
            for_disks(config, Disks())
    else:
        for_disks(config, Disks())


def test_the_system_s_folders_are_not_mounted_over() -> None:
    for path in ("/var", "/", "//usr/", "/etc/."):
        with pytest.raises(StageFailed, match="nothing can be mounted at"):
            for_disks(Rendering({"storage": {"filesystems": [{"device": "/dev/vdb", "path": path}]}}), Disks())


@pytest.mark.parametrize(
    ("device", "may_be"),
    [
        ("/dev/vda", True),
        ("/dev/sda1", True),
        ("/dev//nvme0n1p2", True),
        ("/dev/xvda", True),
        ("/dev/vdb", False),
        ("/dev/vdaa", False),
        ("/dev/nvme1n1", False),
        ("/dev/disk/by-id/virtio-vda", False),
    ],
)
def test_what_is_the_system_s_on_most_machines(device: str, may_be: bool) -> None:
    assert names.may_be_system(device) is may_be
