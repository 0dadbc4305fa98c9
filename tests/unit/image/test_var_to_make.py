"""When systemd-repart has something to do for /var: the real script, with a disk that is a few files."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path("os/initrd/tree/usr/lib/orlop/var-to-make").resolve()
SECTOR, BLOCK = 512, 4096
START, SIZE = 8_000_000, 20_131_328  # sectors
LEFT = 4096  # at the end of the disk


def ext4(size: int, block: int = BLOCK, magic: int = 0xEF53) -> bytes:
    """The beginning of an ext4 of `size` bytes."""
    superblock = bytearray(1024)
    blocks = size // block
    struct.pack_into("<I", superblock, 4, blocks & 0xFFFFFFFF)
    struct.pack_into("<I", superblock, 24, block.bit_length() - 11)
    struct.pack_into("<H", superblock, 56, magic)
    struct.pack_into("<H", superblock, 58, 0xFFFF)
    struct.pack_into("<I", superblock, 336, blocks >> 32)
    return bytes(1024) + bytes(superblock)


class Disk:
    """A disk as a later boot finds it: /var is there, and fills it."""

    def __init__(self, top: Path, size: int = SIZE) -> None:
        self.top = top
        self.write("block/vda/uevent", "DEVTYPE=disk\n")
        self.write("block/vda/size", f"{START + size + LEFT}\n")
        self.partition("vda1", "esp", 2048, 1000)
        self.partition("vda5", "var", START, size)
        self.write("run/disk/vda", "")
        self.write("definitions/50-var.conf", "")
        self.write("cmdline", "root=tmpfs quiet\n")
        self.fill(size * SECTOR)

    def write(self, path: str, text: str) -> None:
        place = self.top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def fill(self, size: int, magic: int = 0xEF53) -> None:
        (self.top / "var").write_bytes(ext4(size, magic=magic))

    def partition(self, name: str, label: str, start: int, size: int, disk: str = "vda") -> None:
        about = {"uevent": f"DEVTYPE=partition\nPARTNAME={label}\n", "start": start, "size": size, "partition": 5}
        for file, value in about.items():
            self.write(f"block/{disk}/{name}/{file}", f"{value}\n")
        (self.top / "block" / name).symlink_to(f"{disk}/{name}")

    def is_left_alone(self) -> bool:
        names = {"RUN": "run", "BLOCK": "block", "VAR": "var", "DEFINITIONS": "definitions", "EFIVARS": "efivars"}
        env = {f"ORLOP_{name}": f"{self.top}/{path}" for name, path in (*names.items(), ("CMDLINE", "cmdline"))}
        argv = ["sh", str(SCRIPT)]
        done = subprocess.run(
            argv, env={**env, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False, timeout=20
        )
        assert done.stdout == done.stderr == ""
        assert done.returncode in (0, 1)
        return done.returncode == 1

    @property
    def notes(self) -> set[str]:
        return {path.name for path in (self.top / "run").glob("var-*")}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_var_that_fills_its_disk_is_left_alone(disk: Disk) -> None:
    assert disk.is_left_alone()
    assert disk.notes == {"var-is-full", "var-is-whole"}


CHANGES: dict[str, Callable[[Disk], object]] = {
    "the disk grew": lambda d: d.write("block/vda/size", f"{START + SIZE + LEFT + 1}\n"),
    "the disk shrank": lambda d: d.write("block/vda/size", f"{START}\n"),
    "its size is not known": lambda d: (d.top / "block/vda/size").unlink(),
    "the partition's size is not known": lambda d: (d.top / "block/vda/vda5/size").unlink(),
    "a factory reset by the boot menu": lambda d: d.write("cmdline", "root=tmpfs systemd.factory_reset=1\n"),
    "a factory reset by the firmware": lambda d: d.write("efivars/FactoryReset-8cf2644b-4b0b-428f-9387", ""),
    "another definition": lambda d: d.write("definitions/60-data.conf", ""),
    "no definition": lambda d: (d.top / "definitions/50-var.conf").unlink(),
    "udev has not seen it": lambda d: (d.top / "var").unlink(),
    "no disk is known as the booted one": lambda d: (d.top / "run/disk/vda").unlink(),
    "it is on another disk": lambda d: (d.top / "run/disk/vda").rename(d.top / "run/disk/vdb"),
    "there are two": lambda d: d.partition("vda6", "var", START, SIZE),
    "another partition comes after": lambda d: d.write("block/vda/vda5/start", f"{START - 10_000}\n"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_may_be_work_for_repart_is_left_to_it(disk: Disk, what: str) -> None:
    CHANGES[what](disk)
    assert not disk.is_left_alone()
    assert disk.notes == set()


@pytest.mark.parametrize("change", [lambda d: d.fill((SIZE - 8) * SECTOR), lambda d: d.fill(SIZE * SECTOR, magic=0)])
def test_a_file_system_that_is_smaller_than_its_partition_is_grown(
    disk: Disk, change: Callable[[Disk], object]
) -> None:
    change(disk)
    assert disk.is_left_alone()
    assert disk.notes == {"var-is-whole"}


@given(blocks=st.integers(1, 1 << 50))
def test_any_size_is_read_right(tmp_path_factory: pytest.TempPathFactory, blocks: int) -> None:
    disk = Disk(tmp_path_factory.mktemp("disk"), blocks * BLOCK // SECTOR)
    assert disk.is_left_alone()
    assert disk.notes == {"var-is-full", "var-is-whole"}
    disk.fill((blocks - 1) * BLOCK)
    (disk.top / "run/var-is-full").unlink()
    assert disk.is_left_alone()
    assert disk.notes == {"var-is-whole"}


@pytest.mark.parametrize(
    ("tables", "is_new"),
    [
        ({"vda": "MAJOR=254\nDEVTYPE=disk\n", "vda1": "PARTN=1\nPARTNAME=esp\n"}, True),
        ({"vda": "DEVTYPE=disk\n", "vda5": "DEVTYPE=partition\nPARTN=5\nPARTNAME=var\n"}, False),
        ({"vda": "DEVTYPE=disk\n", "vda5": "PARTN=5\nPARTNAME=var-of-mine\n"}, True),
        ({}, True),
    ],
)
def test_a_var_that_was_not_there_is_noted_as_new(tmp_path: Path, tables: dict[str, str], is_new: bool) -> None:
    for name, text in tables.items():
        (tmp_path / "block" / name).mkdir(parents=True)
        (tmp_path / "block" / name / "uevent").write_text(text)
    env = {"PATH": os.environ["PATH"], "ORLOP_BLOCK": f"{tmp_path}/block", "ORLOP_RUN": f"{tmp_path}/run"}
    subprocess.run(["sh", str(SCRIPT)], env=env, check=True, timeout=20)
    assert (tmp_path / "run/var-is-new").exists() == is_new
