"""What becomes of a configuration whose disks are not all there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from orlop.node.config.eachboot import Disks, deed, for_disks
from orlop.node.config.failure import StageFailed
from orlop.node.config.hardware import MissingDevices, judge, members, named, tolerance, with_degraded
from orlop.node.config.rendering import ArrayView, FileSystemView, Rendering

A, B, C = (f"/dev/disk/by-id/virtio-data{n}" for n in (1, 2, 3))
LABEL = "/dev/disk/by-partlabel/"


def disk(device: str, *labels: str) -> dict[str, Any]:
    return {"device": device, "wipeTable": True, "partitions": [{"label": label} for label in labels]}


def ext4(device: str, path: str, *options: str) -> dict[str, Any]:
    return {"device": device, "format": "ext4", "label": "x", "path": path, "mountOptions": list(options)}


def mount(path: str, device: str, options: str = "") -> dict[str, Any]:
    check = f"systemd-fsck@{device[1:].replace('-', chr(92) + 'x2d').replace('/', '-')}.service"
    text = f"[Unit]\nRequires={check}\n[Mount]\nWhere={path}\nWhat={device}\nType=btrfs\n{options}"
    return {"name": path[1:].replace("/", "-") + ".mount", "enabled": True, "contents": text}


def config(units: Collection[dict[str, Any]] = (), files: Collection[str] = (), **storage: Any) -> Rendering:
    return Rendering(
        {
            "storage": {**storage, "files": [{"path": path} for path in files]},
            "systemd": {"units": [*units, {"name": "other.service"}]},
        }
    )


RAID = {"name": "data", "level": "raid1", "devices": [LABEL + "raid-1", LABEL + "raid-2"]}
MIRROR = config(
    disks=[disk(A, "raid-1"), disk(B, "raid-2")], raid=[RAID], filesystems=[ext4("/dev/md/data", "/var/data")]
)
MADE = {deed("raid", RAID)}


def test_nothing_is_missing() -> None:
    assert judge(MIRROR, {A, B}, ()) == MissingDevices(MIRROR)
    empty = Rendering({"ignition": {}})
    assert judge(empty, (), ()) == MissingDevices(empty)
    assert MissingDevices(empty).is_whole


def test_an_optional_file_system_is_left_out_with_all_that_only_it_needs() -> None:
    given = config(
        [mount("/var/backup", LABEL + "backup"), mount("/var/data", LABEL + "data")],
        ["/var/backup/a", "/var/backups", "/etc/x"],
        disks=[disk(A, "backup"), disk(B, "data")],
        filesystems=[ext4(LABEL + "backup", "/var/backup", "nofail"), ext4(LABEL + "data", "/var/data")],
    )
    found = judge(given, {B}, ())
    assert found.needed == ()
    assert found.notes == (
        f"the disk {A} is missing",
        f"the file system /var/backup is left out, as its option nofail says: {LABEL}backup is missing",
    )
    storage = found.config.raw["storage"]
    assert [d["device"] for d in storage["disks"]] == [B]
    assert [f["path"] for f in storage["filesystems"]] == ["/var/data"]
    assert [f["path"] for f in storage["files"]] == ["/var/backups", "/etc/x"]
    assert [u["name"] for u in found.config.raw["systemd"]["units"]] == ["var-data.mount", "other.service"]


def test_a_mandatory_file_system_is_waited_for_and_its_disk_is_named() -> None:
    given = config(disks=[disk(A, "data")], filesystems=[ext4(LABEL + "data", "/var/data")])
    assert judge(given, (), {"any"}).needed == (f"the disk {A} is missing, and the file system /var/data needs it",)


def test_one_mandatory_user_of_a_disk_is_enough() -> None:
    both = [ext4(LABEL + "a", "/var/a", "nofail"), ext4(LABEL + "b", "/var/b")]
    assert len(judge(config(disks=[disk(A, "a", "b")], filesystems=both), (), ()).needed) == 1


def test_a_disk_that_is_only_partitioned_is_waited_for() -> None:
    assert judge(config(disks=[disk(A, "x")]), (), ()).needed == (f"the disk {A} is missing",)


def test_an_array_that_was_made_starts_without_what_it_can_spare() -> None:
    found = judge(MIRROR, {A}, MADE)
    assert found.needed == ()
    assert found.notes == (f"the disk {B} is missing", f"the array data starts without {LABEL}raid-2")
    assert LABEL + "raid-2" in found.absent and LABEL + "raid-1" not in found.absent
    assert [d["device"] for d in found.config.raw["storage"]["disks"]] == [A]
    assert found.config.raw["storage"]["raid"] == [RAID], "what was made once is known by all that it says"


@pytest.mark.parametrize(("there", "done"), [({A}, ()), ((), MADE)])
def test_an_array_is_made_whole_and_never_starts_without_any_member(
    there: Collection[str], done: Collection[str]
) -> None:
    needed = judge(MIRROR, there, done).needed
    assert needed[-1] == f"the disk {B} is missing, and the array data needs it"


def test_what_stands_on_an_array_that_cannot_start_may_be_optional() -> None:
    given = config(
        disks=[disk(A, "raid-1"), disk(B, "raid-2")],
        raid=[RAID],
        luks=[{"name": "safe", "device": "/dev/md/data"}],
        filesystems=[ext4("/dev/mapper/safe", "/var/safe", "nofail")],
    )
    found = judge(given, (), MADE)
    assert found.needed == ()
    assert all(found.config.raw["storage"][kind] == [] for kind in ("disks", "raid", "luks", "filesystems"))


@pytest.mark.parametrize(
    "storage",
    [
        {"raid": [{"name": "a", "devices": ["/dev/vdb", "/dev/md/a"]}]},
        {"luks": [{"name": "a", "device": "/dev/disk/by-id/dm-name-a"}]},
        {"raid": [{"name": "a", "devices": ["/dev/mapper/b"]}], "luks": [{"name": "b", "device": "/dev/md/a"}]},
    ],
)
def test_what_is_made_of_itself_is_refused_in_words(storage: dict[str, Any]) -> None:
    for ask in (lambda given: judge(given, (), ()), lambda given: for_disks(given, Disks(keys={"a": "", "b": ""}))):
        with pytest.raises(StageFailed, match="is made of itself"):
            ask(config(**storage))


@pytest.mark.parametrize(
    ("level", "count", "spares", "spared"),
    [
        ("raid1", 3, 0, 2),
        ("raid0", 3, 0, 0),
        ("linear", 2, 0, 0),
        ("raid5", 4, 1, 2),
        ("raid6", 5, 0, 2),
        ("10", 4, 0, 1),
    ],
)
def test_what_an_array_can_spare(level: str, count: int, spares: int, spared: int) -> None:
    assert tolerance(ArrayView({"level": level, "spares": spares, "devices": ["x"] * count})) == spared


BTRFS = {
    "device": LABEL + "tree-1",
    "format": "btrfs",
    "label": "tree",
    "path": "/var/tree",
    "wipeFilesystem": True,
    "options": ["-d", "raid1", "-m", "raid1", LABEL + "tree-2"],
    "mountOptions": ["noatime"],
}


@pytest.mark.parametrize(("gone", "other"), [(A, "tree-2"), (B, "tree-1")])
def test_a_redundant_btrfs_is_mounted_by_the_device_that_is_there(gone: str, other: str) -> None:
    units = [mount("/var/tree", LABEL + "tree-1", "Options=noatime\n")]
    given = config(units, disks=[disk(A, "tree-1"), disk(B, "tree-2")], filesystems=[BTRFS])
    found = judge(given, {A, B} - {gone}, {deed("filesystem", BTRFS)})
    assert found.needed == ()
    assert dict(found.degraded) == {LABEL + "tree-1": LABEL + other}
    assert found.config.raw["storage"]["filesystems"] == [BTRFS]

    changed = with_degraded(found.config, found.degraded)
    mounted = changed.raw["storage"]["filesystems"][0]
    assert (mounted["device"], mounted["mountOptions"]) == (LABEL + other, ["noatime", "degraded"])
    lines = changed.raw["systemd"]["units"][0]["contents"].splitlines()
    assert f"What={LABEL}{other}" in lines and "Options=noatime,degraded" in lines
    assert lines[1].endswith(f"by\\x2dpartlabel-{other.replace('-', chr(92) + 'x2d')}.service")
    assert len([line for line in lines if line.startswith("Options=")]) == 1


def test_btrfs_is_not_made_of_half_its_devices() -> None:
    given = config(disks=[disk(A, "tree-1"), disk(B, "tree-2")], filesystems=[BTRFS])
    assert judge(given, {A}, ()).needed


def test_a_swap_that_may_be_missing() -> None:
    swap = {"device": C, "format": "swap", "mountOptions": ["nofail"]}
    unit = {"name": "dev-x.swap", "enabled": True, "contents": f"[Swap]\nWhat={C}\n"}
    found = judge(config([unit], filesystems=[swap]), (), ())
    assert found.needed == () and [u["name"] for u in found.config.raw["systemd"]["units"]] == ["other.service"]


@pytest.mark.parametrize("device", ["/dev/vdb1", "/dev/vdbp1", "/dev/vdb-part1", LABEL + "data"])
def test_a_partition_is_there_when_its_disk_is(device: str) -> None:
    given = config(disks=[disk("/dev/vdb", "data")], filesystems=[ext4(device, "/var/data")])
    assert judge(given, {"/dev/vdb"}, ()).is_whole
    assert judge(given, (), ()).needed == ("the disk /dev/vdb is missing, and the file system /var/data needs it",)


def test_a_name_that_may_still_be_made_is_left_to_ignition() -> None:
    table = disk("/dev/vdb", "data")
    given = config(disks=[table], filesystems=[ext4("/dev/disk/by-partuuid/x", "/var/data"), ext4("/dev/vdc", "/srv")])
    late = "/dev/vdc is missing, and the file system /srv needs it"
    assert judge(given, {"/dev/vdb"}, ()).needed == (late,)
    gone = "/dev/disk/by-partuuid/x is missing, and the file system /var/data needs it"
    assert judge(given, {"/dev/vdb"}, {deed("disk", table)}).needed == (gone, late)


def test_every_device_is_named_once() -> None:
    given = config(disks=[disk(A, "tree-1")], raid=[RAID], filesystems=[BTRFS, ext4(A, "/x")])
    assert named(given) == [A, *RAID["devices"], *members(FileSystemView(BTRFS))]
