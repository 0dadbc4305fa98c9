"""The judge of the power-cut proof on the disk of the image: it knows what is whole from what is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.model.disk.gpt import ESP_TYPE
from orlop.model.words.version import Version
from simulators import realdisk
from simulators.findings import DiskState, Findings
from simulators.machine import Unbootable, table_of


def judged(image: Path, spoil: Callable[[DiskState], None] = lambda _: None) -> realdisk.FirmwareStart:
    version = Version.parse(image.name)
    state = DiskState(image / f"orlop_{version}.raw")
    disk = Findings(state)
    loader = realdisk.loader_digest(disk)
    spoil(state)
    ukis = {hashlib.sha256((image / f"orlop_{version}.efi").read_bytes()).digest()}
    fresh = Findings(state)
    return fresh.find("start", lambda: realdisk.start(fresh, ukis, loader))


def flip(state: DiskState, at: int) -> None:
    state.write(at, bytes([state.read(at, 1)[0] ^ 0xFF]))


def file_at(state: DiskState, path: str) -> int:
    """Where the first byte of a file on the ESP is."""
    disk = Findings(state)

    def find() -> int:
        esp = next(at for kind, _, at, _ in table_of(disk) if kind == ESP_TYPE)
        volume = realdisk.Fat(disk, esp)
        return volume.runs(volume.find(path))[0][0]

    return disk.find("file", find)


def test_the_image_starts_its_version(image: Path) -> None:
    version = Version.parse(image.name)
    found = judged(image)
    assert found.entry.version == version and (found.entry.left, found.entry.done) == (3, 0)
    assert found.listed == (version.uki_name,)


def test_one_table_is_enough(image: Path) -> None:
    assert judged(image, lambda state: flip(state, 512 + 20)) == judged(image)


@pytest.mark.parametrize("what", ["usr", "verity", "uki", "loader", "tables", "no program"])
def test_anything_else_is_noticed(image: Path, what: str) -> None:
    version = Version.parse(image.name)

    def spoil(state: DiskState) -> None:
        disk = Findings(state)
        table = disk.find("table", lambda: table_of(disk))
        uki = file_at(state, f"EFI/Linux/{version.uki_name}")
        match what:
            case "usr":
                flip(state, table[1][2] + 70_000_000)
            case "verity":
                flip(state, table[2][2] + 200_000)
            case "uki":
                flip(state, uki + 20_000_000)
            case "loader":
                flip(state, file_at(state, "EFI/BOOT/BOOTX64.EFI") + 50_000)
            case "tables":
                flip(state, 512 + 20)
                flip(state, state.size - 512 + 20)
            case _:
                state.write(uki, b"\0")

    with pytest.raises(Unbootable):
        judged(image, spoil)
