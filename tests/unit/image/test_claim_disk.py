"""Which disk was booted, by what the boot loader says, as udev asks for it in the initrd."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "os/initrd/tree/usr/lib/orlop/claim-disk"
LOADER = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
OWN, OTHER = "0c7e3f1c-8a51-4bdf-9d44-6a2f6a0f6c11", "1efca47a-f064-4441-b17a-5c796cf12012"


class Initrd:
    def __init__(self, top: Path) -> None:
        self.vars, self.run, self.sys = top / "efivars", top / "run", top / "sys"
        self.vars.mkdir()

    def booted(self, uuid: str) -> None:
        (self.vars / LOADER).write_bytes(b"\6\0\0\0" + (uuid.upper() + "\0").encode("utf-16-le"))

    def disk(self, name: str, *labels: str) -> None:
        for number, label in enumerate(labels, 1):
            part = self.sys / name / f"{name}{number}"
            part.mkdir(parents=True)
            (part / "partition").write_text(f"{number}\n")
            (part / "uevent").write_text(f"PARTN={number}\nPARTNAME={label}\n")

    def claim(self, what: str, name: str, uuid: str) -> None:
        env = {"ORLOP_EFIVARS": str(self.vars), "ORLOP_RUN": str(self.run), "ORLOP_SYSFS": str(self.sys)}
        argv = ["sh", str(SCRIPT), what, name, uuid]
        done = subprocess.run(argv, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=True)
        assert done.stderr == ""

    def noted(self, folder: str = "disk") -> list[str]:
        return sorted(path.name for path in (self.run / folder).glob("*"))

    def looked_at_again(self, name: str) -> bool:
        return all(path.read_text() == "change\n" for path in self.sys.glob(f"{name}/*/uevent"))


@pytest.fixture
def initrd(tmp_path: Path) -> Initrd:
    found = Initrd(tmp_path)
    found.disk("vda", "esp", "orlop_20261201.1", "var")
    found.disk("sda", "esp", "orlop_20261201.1", "var")
    found.disk("sdb", "esp", "windows")
    return found


def test_the_disk_whose_uuid_the_loader_names_is_noted_and_no_other(initrd: Initrd) -> None:
    initrd.booted(OWN)
    initrd.claim("disk", "sda", OTHER)
    initrd.claim("disk", "vda", OWN)
    initrd.claim("esp", "sda", OTHER)
    assert initrd.noted() == ["vda"]
    assert not initrd.looked_at_again("vda"), "its partitions are looked at after the disk"


def test_a_disk_with_another_uuid_is_known_by_its_esp(initrd: Initrd) -> None:
    initrd.booted(OWN)
    initrd.claim("disk", "vda", OTHER)
    assert initrd.noted() == []
    initrd.claim("esp", "vda", OWN)
    assert initrd.noted() == ["vda"]
    assert initrd.looked_at_again("vda")
    assert not initrd.looked_at_again("sda")


def test_of_two_with_the_same_uuid_the_first_is_taken_and_the_other_is_noted_as_well(initrd: Initrd) -> None:
    initrd.booted(OTHER)
    for name in ("sda", "vda", "sda", "vda"):
        initrd.claim("disk", name, OTHER)
    assert initrd.noted() == ["sda"]
    assert initrd.noted("disk-twins") == ["vda"]


def test_without_a_loader_the_first_disk_with_our_labels_is_taken(initrd: Initrd) -> None:
    initrd.claim("disk", "sdb", OTHER)
    initrd.claim("esp", "sdb", OTHER)
    initrd.claim("esp", "vda", OWN)
    assert initrd.noted() == ["vda"]


def test_what_the_configuration_has_to_do_about_disks_is_noted(initrd: Initrd) -> None:
    initrd.booted(OTHER)
    initrd.claim("disk", "vda", OTHER)
    initrd.claim("esp", "sdb", OWN)
    assert (initrd.run / "disk-is-new").exists()
    assert not (initrd.run / "disk-others").exists(), "a disk of somebody else's"
    initrd.claim("esp", "sda", OWN)
    assert (initrd.run / "disk-others").exists()
