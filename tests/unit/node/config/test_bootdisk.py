"""A disk becomes its machine's own, whenever the power goes while it does."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.disk import gpt
from orlop.model.disk.own import IMAGE_DISK
from orlop.model.update.boot import Uki
from orlop.node.config import bootdisk, owndisk
from proofs.powercut import states
from simulators import machine
from simulators.medium import SECTOR, Medium, Pages
from simulators.releases import release

OLD = release("20261201.1", blocks=8)


class Whole:
    """The simulators' medium as the disk of a machine."""

    sector = SECTOR

    def __init__(self, medium: Medium) -> None:
        self.medium, self.size = medium, medium.size

    def read(self, at: int, size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.medium.read_into(memoryview(buffer), at)])

    def write(self, at: int, data: bytes) -> None:
        self.medium.write(data, at)

    def flush(self) -> None:
        self.medium.flush()


@pytest.fixture
def medium() -> Medium:
    """As the image is written to a disk."""
    made = machine.install(OLD)
    disk = Whole(made)
    table = table_of(made.durable)
    esp = next(e for e in table.entries if e.kind == gpt.ESP_TYPE)
    for writes in gpt.writes(table, table.change({esp.number: (esp.label, IMAGE_DISK)}).with_disk(IMAGE_DISK)):
        for at, data in writes:
            disk.write(at, data)
        disk.flush()
    made.log.clear()
    return made


def table_of(pages: Pages) -> gpt.Table:
    return gpt.read(pages.read, pages.size, SECTOR)


def serials(pages: Pages) -> Iterator[int]:
    esp = next(e for e in table_of(pages).entries if e.kind == gpt.ESP_TYPE)
    for sector in (0, 6):
        yield struct.unpack("<I", pages.read((esp.first + sector) * SECTOR + 67, 4))[0]


def check_own(pages: Pages) -> uuid.UUID:
    """The disk's UUID, when everything of it is the machine's own."""
    table = table_of(pages)
    assert table.primary_whole and table.backup_whole
    assert table.disk_uuid != IMAGE_DISK
    assert [e.uuid for e in table.entries if e.kind == gpt.ESP_TYPE] == [table.disk_uuid]
    assert len({e.uuid for e in table.entries}) == len(table.entries)
    first, copy = serials(pages)
    assert first == copy != 0x1234
    return table.disk_uuid


def test_a_disk_is_made_its_machine_s_own_once_and_what_runs_stays(medium: Medium) -> None:
    before = table_of(medium.durable)
    assert owndisk.make_own(Whole(medium))
    own, after = check_own(medium.durable), table_of(medium.durable)
    assert [(e.first, e.last, e.kind, e.label) for e in after.entries] == [
        (e.first, e.last, e.kind, e.label) for e in before.entries
    ]
    assert [e.uuid for e in after.entries[1:3]] == [e.uuid for e in before.entries[1:3]], (
        "they follow from the root hash"
    )
    assert not {e.uuid for e in after.entries[3:]} & {e.uuid for e in before.entries[3:]}

    assert not owndisk.make_own(Whole(medium))
    assert check_own(medium.durable) == own


def test_the_program_for_it_imports_little() -> None:
    code = "import orlop.node.config.owndisk, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = set(done.stdout.split())
    assert "orlop.model.disk.own" in names
    assert not names & {"subprocess", "json", "pathlib", "hashlib", "tempfile", "orlop.files", "orlop.node.config.run"}


def test_without_a_disk_the_program_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert owndisk.claimed() == ""
    assert owndisk.main() == 1
    assert "is not made this machine's own yet" in capsys.readouterr().err


def test_two_machines_are_two(medium: Medium) -> None:
    other = Medium(medium.size)
    other.durable = medium.durable.copy()
    other.cut(random.Random(0))
    assert owndisk.make_own(Whole(medium)) and owndisk.make_own(Whole(other))
    assert check_own(medium.durable) != check_own(other.durable)


def test_after_a_cut_at_any_write_the_machine_starts_and_the_next_boot_ends_it(medium: Medium) -> None:
    start = medium.durable.copy()
    owndisk.make_own(Whole(medium))
    judged = 0
    for _, where, pages in states(start, medium.log, random.Random(1), 3):
        entry = machine.entries(pages)[0]
        machine.check(pages, entry, {OLD.uki})
        esp, disk = next(e for e in table_of(pages).entries if e.kind == gpt.ESP_TYPE), table_of(pages).disk_uuid
        assert esp.uuid == disk, where
        again = Medium(pages.size)
        again.durable = pages.copy()
        again.cut(random.Random(0))
        owndisk.make_own(Whole(again))
        check_own(again.durable)
        judged += 1
    assert judged > 200


def test_an_esp_of_another_kind_leaves_the_disk_as_it_is(medium: Medium) -> None:
    esp = next(e for e in table_of(medium.durable).entries if e.kind == gpt.ESP_TYPE)
    medium.corrupt(esp.first * SECTOR + 82, b"FAT16   ")
    with pytest.raises(BadInput, match="not a FAT32"):
        owndisk.make_own(Whole(medium))
    assert medium.log == []


def test_other_installations_are_named_by_their_disk(tmp_path: Path) -> None:
    for disk, parts in (
        ("vda", ("esp", "orlop_20261201.1")),
        ("sdb", ("esp", "orlop_20261130.1", "data")),
        ("sdc", ("x",)),
    ):
        for number, label in enumerate(parts, 1):
            place = tmp_path / f"devices/{disk}/{disk}{number}"
            place.mkdir(parents=True)
            (place / "partition").write_text(f"{number}\n")
            (place / "uevent").write_text(f"PARTN={number}\nPARTNAME={label}\n")
            (tmp_path / f"{disk}{number}").symlink_to(place)
    assert bootdisk.others("vda", tmp_path) == [
        "the disk sdb holds another installation (20261130.1): this machine runs from vda and does not touch it"
    ]


def test_what_was_booted_is_what_udev_noted(tmp_path: Path) -> None:
    assert owndisk.claimed(tmp_path / "none") == ""
    (tmp_path / "vdb").touch()
    assert owndisk.claimed(tmp_path) == "vdb"


UKI = Uki(OLD.version, 2, 1)


@pytest.mark.parametrize(
    ("same", "uki", "on", "booted"),
    [
        (["vdb"], UKI, {"vdb"}, "vdb"),
        (["vdb"], UKI, {"vda"}, ""),
        (["vdb"], UKI, {"vda", "vdb"}, ""),
        (["vdb"], UKI, set(), ""),
        (["vdb", "vdc"], UKI, {"vdc"}, "vdc"),
        (["vdb"], None, {"vdb"}, ""),
        ([], UKI, set(), ""),
    ],
)
def test_of_disks_with_the_same_uuids_the_counter_shows_which_was_booted(
    same: list[str], uki: Uki | None, on: set[str], booted: str
) -> None:
    assert bootdisk.other_than("vda", same, uki, lambda disk, _: disk in on) == booted


def test_a_copy_of_a_disk_gets_other_uuids_again(medium: Medium) -> None:
    owndisk.make_own(Whole(medium))
    before = check_own(medium.durable)
    assert owndisk.make_own(Whole(medium), again=True)
    assert check_own(medium.durable) != before
