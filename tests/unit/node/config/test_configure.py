"""os/…/lib/orlop/configure: when it does all of it itself, and when it leaves that to orlop.node.config.

The real script, on a machine that is a few folders; its programs, but for the shell's usual ones, only note that they
were called. That both do the same on a real machine is in tests/machines/test_container_machines.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.node.config.platforms import AZURE_CHASSIS, SUPPORTED, Hardware, config_url, platform, source
from orlop.node.config.run import ConfigReport

SCRIPT = Path("os/mkosi.extra/usr/lib/orlop/configure").resolve()
CLUSTER = 4096
RESERVED, FATS, FAT_SECTORS, SECTOR = 32, 2, 8, 512
ROOT_CLUSTER = 2
END = 0x0FFFFFFF
FW_CFG = "sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw"


def entry(name: str) -> bytes:
    return name.encode().ljust(11) + bytes((0x10,)) + bytes(20)


def fat32(names: list[str], *, kind: bytes = b"FAT32   ", next_cluster: int = END) -> bytes:
    """The beginning of an ESP whose root directory holds folders of these names."""
    boot = bytearray(SECTOR)
    boot[11:13] = SECTOR.to_bytes(2, "little")
    boot[13] = CLUSTER // SECTOR
    boot[14:16] = RESERVED.to_bytes(2, "little")
    boot[16] = FATS
    boot[36:40] = FAT_SECTORS.to_bytes(4, "little")
    boot[44:48] = ROOT_CLUSTER.to_bytes(4, "little")
    boot[82:90] = kind
    table = bytearray(FAT_SECTORS * SECTOR)
    table[4 * ROOT_CLUSTER : 4 * ROOT_CLUSTER + 4] = next_cluster.to_bytes(4, "little")
    root = b"".join(map(entry, names)).ljust(CLUSTER, b"\0")
    return bytes(boot).ljust(RESERVED * SECTOR, b"\0") + bytes(table) * FATS + root


class Machine:
    """A machine without a configuration, until a test gives it one. `dmi`: what its firmware says of itself."""

    def __init__(self, top: Path, kind: str = "") -> None:
        self.top, self.kind = top, kind
        for folder in ("root/etc", "root/var/lib/orlop", "sys/class/dmi/id", "sys/bus/pci/devices", "run", "bin"):
            (top / folder).mkdir(parents=True)
        (top / "sys/firmware/qemu_fw_cfg").mkdir(parents=True)
        self.write("cmdline", b"root=tmpfs quiet\n")
        self.write("uptime", b"0.08 0.01\n")
        self.write("disk/orlop/esp", fat32(["EFI", "LOADER"]))
        for name in ("python", "udevadm", "modprobe", "systemd-tmpfiles"):
            self.write(f"bin/{name}", f'#!/bin/sh\necho "{name} $*" >> {top}/called\n'.encode())
            (top / "bin" / name).chmod(0o755)

    def write(self, path: str, content: bytes) -> None:
        place = self.top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def dmi(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.write(f"sys/class/dmi/id/{name}", f"{value}\n".encode())

    def boot(self) -> bool:
        """Whether the script did it itself."""
        env = {
            "PATH": f"{self.top}/bin:{os.environ['PATH']}",
            "ORLOP_SYS": f"{self.top}/sys",
            "ORLOP_RUN": f"{self.top}/run",
            "ORLOP_DISKS": f"{self.top}/disk",
            "ORLOP_PYTHON": f"{self.top}/bin/python",
            "ORLOP_ROOT": f"{self.top}/root",
            "ORLOP_CMDLINE": f"{self.top}/cmdline",
            "ORLOP_UPTIME": f"{self.top}/uptime",
        }
        argv = ["sh", str(SCRIPT), self.kind]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=30)
        assert done.stderr == ""
        wanted = "python -I -S -B -m orlop.node.config" + (" container" if self.kind else "")
        return wanted not in self.called

    @property
    def called(self) -> list[str]:
        return (self.top / "called").read_text().splitlines()


@pytest.fixture(params=["", "container"], ids=["whole", "container"])
def anyone(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


@pytest.fixture
def whole(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_a_configuration_it_does_all_of_it(anyone: Machine) -> None:
    assert anyone.boot()
    assert f"systemd-tmpfiles --root={anyone.top}/root/ --create --boot --prefix=/etc" in anyone.called
    secret = anyone.top / "root/var/lib/orlop/identity/secret"
    assert len(secret.read_text()) == 65 and int(secret.read_text(), 16)
    assert secret.stat().st_mode & 0o777 == 0o400
    assert secret.parent.stat().st_mode & 0o777 == 0o700
    before = secret.read_text()
    assert anyone.boot()
    assert secret.read_text() == before, "it is kept"
    assert not (anyone.top / "run/orlop/before").exists()


def test_its_report_is_that_of_the_other(anyone: Machine) -> None:
    assert anyone.boot()
    said = json.loads((anyone.top / "run/orlop/config.json").read_text())
    assert said.keys() == ConfigReport.__annotations__.keys()
    assert said.pop("seconds") == 0.0
    expected = {"platform": "metal", "origin": "none", "config_sha256": "", "ok": True, "failure": {}}
    assert said == {**expected, "notes": [], "hardware": [], "stages": [], "source": said["source"]}
    if not anyone.kind:
        assert said["source"] == source("metal", "", "")


GIVEN: dict[str, Callable[[Machine], None]] = {
    "a URL": lambda m: m.write("cmdline", b"quiet ignition.config.url=http://x\n"),
    "a platform": lambda m: m.write("cmdline", b"ignition.platform.id=metal quiet\n"),
    "a kept configuration": lambda m: m.write("root/var/lib/orlop/config/good.json", b"{}"),
    "what was done once": lambda m: m.write("root/var/lib/orlop/config/done.json", b"{}"),
    "users of sysusers.d": lambda m: m.write("root/etc/sysusers.d/x.conf", b"u x -\n"),
}


@pytest.mark.parametrize("what", GIVEN)
def test_what_any_machine_may_be_given_is_seen(anyone: Machine, what: str) -> None:
    GIVEN[what](anyone)
    assert not anyone.boot()


SOURCES: dict[str, Callable[[Machine], None]] = {
    "fw_cfg": lambda m: m.write(FW_CFG, b"{}"),
    "a disk": lambda m: m.write("disk/by-label/orlop-config", b""),
    "a FAT disk": lambda m: m.write("disk/by-label/ORLOP-CONF", b""),
    "two disks with the same UUIDs": lambda m: m.write("run/orlop/disk-twins/vdb", b""),
    "another installation": lambda m: m.write("run/orlop/disk-others", b""),
    "a folder on the ESP": lambda m: m.write("disk/orlop/esp", fat32(["EFI", "ORLOP"])),
    "an ESP of another kind": lambda m: m.write("disk/orlop/esp", fat32(["EFI"], kind=b"FAT16   ")),
    "an ESP with many folders": lambda m: m.write("disk/orlop/esp", fat32(["EFI"], next_cluster=7)),
    "an ESP that is cut off": lambda m: m.write("disk/orlop/esp", fat32(["EFI"])[:80]),
    "an ESP without its directory": lambda m: m.write("disk/orlop/esp", fat32(["EFI"])[:-CLUSTER]),
}


@pytest.mark.parametrize("what", SOURCES)
def test_each_source_of_a_whole_machine_is_seen_or_left_to_the_other(whole: Machine, what: str) -> None:
    SOURCES[what](whole)
    assert not whole.boot()


def test_a_container_machine_is_given_a_file(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "container")
    for give in SOURCES.values():  # its computer's
        give(machine)
    assert machine.boot()
    machine.write("run/host/orlop/config.ign", b"{}")
    assert not machine.boot()


HARDWARE: tuple[dict[str, str], ...] = (
    {"sys_vendor": "Amazon EC2", "product_name": "t3.micro"},
    {"sys_vendor": "Google", "product_name": "Google Compute Engine"},
    {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": AZURE_CHASSIS},
    {"sys_vendor": "Microsoft Corporation"},
    {"product_name": "OpenStack Nova"},
    {"product_name": "OpenStack Compute"},
    {"chassis_asset_tag": "OpenStack Nova"},
    {"sys_vendor": "QEMU", "product_name": "Standard PC"},
    {"sys_vendor": "Amazon EC2 or so"},
    {},
)


@pytest.mark.parametrize("values", HARDWARE, ids=str)
def test_it_asks_no_cloud_and_knows_one_as_the_other_does(whole: Machine, values: dict[str, str]) -> None:
    whole.dmi(values)
    assert whole.boot() == (platform([], Hardware(values, False)) == "metal")
    assert platform([], Hardware(values, False)) in SUPPORTED and not config_url([])


OWN_DISK = "python -I -S -B -m orlop.node.config.owndisk"


@pytest.mark.parametrize("is_made", [True, False])
def test_a_disk_that_is_as_the_image_is_made_its_own_by_that_program_alone(whole: Machine, is_made: bool) -> None:
    whole.write("run/orlop/disk-is-new", b"")
    if not is_made:
        whole.write("bin/python", f'#!/bin/sh\necho "python $*" >> {whole.top}/called\nexit 1\n'.encode())
    if is_made:
        assert whole.boot()
    else:
        with pytest.raises(subprocess.CalledProcessError):  # the other program is this one as well
            whole.boot()
    called = whole.called
    assert called.index(OWN_DISK) > called.index("udevadm settle --timeout=10"), "another disk may have the same"
    assert ("python -I -S -B -m orlop.node.config" in called) == (not is_made)


@pytest.mark.parametrize("other", ["disk-twins/vdb", "disk-others"])
def test_among_other_disks_of_ours_its_own_is_left_to_the_other(whole: Machine, other: str) -> None:
    whole.write("run/orlop/disk-is-new", b"")
    whole.write(f"run/orlop/{other}", b"")
    assert not whole.boot()
    assert OWN_DISK not in whole.called


def test_disks_are_looked_for_where_a_controller_has_no_driver_yet(whole: Machine) -> None:
    for name, values in (
        ("0000:00:03.0", {"class": b"0x010000\n", "driver": b""}),
        ("0000:00:1f.2", {"class": b"0x010601\n"}),
        ("0000:00:1f.3", {"class": b"0x0c0500\n"}),
        ("0000:01:00.0", {"class": b"0x010802\n"}),
    ):
        for file, value in {"uevent": b"", **values}.items():
            whole.write(f"sys/bus/pci/devices/{name}/{file}", value)
    assert whole.boot()
    asked = [path.parent.name for path in (whole.top / "sys/bus/pci/devices").glob("*/uevent") if path.read_text()]
    assert sorted(asked) == ["0000:00:1f.2", "0000:01:00.0"]
    assert whole.called.index("udevadm settle --timeout=10") == 0


def test_units_set_at_run_time_are_laid_aside_for_the_record(whole: Machine) -> None:
    whole.write("run/systemd/system/x.service", b"[Service]\n")
    assert whole.boot()
    assert (whole.top / "run/orlop/before/systemd/system/x.service").read_bytes() == b"[Service]\n"
    assert not (whole.top / "run/orlop/before/systemd/system.control").exists()
