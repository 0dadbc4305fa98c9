"""The partition table as bytes, against the layout of UEFI 2.10, chapter 5, written down here once more."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.disk.gpt import ESP_TYPE, GptEntry, Table, read, writes

SECTORS = 64
DISK, OWN, OTHER = (uuid.UUID(int=n << 64 | n) for n in (1, 2, 3))
KIND = uuid.UUID("4d21b016-b534-45c2-a9fb-5c16e091fd2d")
ESP = GptEntry(1, ESP_TYPE, OWN, 40, 41, 0, "esp")
VAR = GptEntry(3, KIND, OTHER, 42, 50, 1 << 60 | 1, "var")
COUNT = 8


def raw_entries(*entries: GptEntry) -> bytes:
    array = bytearray(128 * COUNT)
    for e in entries:
        name = e.label.encode("utf-16-le").ljust(72, b"\0")
        at = 128 * (e.number - 1)
        numbers = struct.pack("<QQQ", e.first, e.last, e.flags)
        array[at : at + 128] = e.kind.bytes_le + e.uuid.bytes_le + numbers + name
    return bytes(array)


def header(array: bytes, own: int, other: int, array_at: int, *, sectors: int = SECTORS) -> bytes:
    def text(checksum: int) -> bytes:
        first = b"EFI PART" + bytes((0, 0, 1, 0)) + struct.pack("<III", 92, checksum, 0)
        places = struct.pack("<QQQQ", own, other, 4, sectors - 5)
        return first + places + DISK.bytes_le + struct.pack("<QIII", array_at, COUNT, 128, zlib.crc32(array))

    return text(zlib.crc32(text(0)))


def disk_of(sector: int, *entries: GptEntry) -> bytearray:
    """A disk with both copies of a table."""
    array, last = raw_entries(*entries), SECTORS - 1
    spare = last - -(-len(array) // sector)
    disk = bytearray(sector * SECTORS)
    for at, data in (
        (1, header(array, 1, last, 2)),
        (2, array),
        (last, header(array, last, 1, spare)),
        (spare, array),
    ):
        disk[at * sector : at * sector + len(data)] = data
    return disk


def table_of(disk: bytearray, sector: int) -> Table:
    return read(lambda at, size: bytes(disk[at : at + size]), len(disk), sector)


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_table_is_read_as_the_specification_lays_it_out(sector: int) -> None:
    table = table_of(disk_of(sector, ESP, VAR), sector)
    assert table.entries == (ESP, VAR)
    assert (table.disk_uuid, table.sector, table.sectors, table.places) == (DISK, sector, SECTORS, COUNT)
    assert (table.first_usable, table.last_usable, table.backup) == (4, SECTORS - 5, SECTORS - 1)
    assert table.primary_whole and table.backup_whole


@pytest.mark.parametrize("sector", [512, 4096])
def test_what_is_written_is_a_disk_of_the_specification_and_the_backup_comes_first(sector: int) -> None:
    disk = disk_of(sector, ESP, VAR)
    before = table_of(disk, sector)
    after = before.change({3: ("data", OWN)})
    backup, primary = writes(before, after)
    assert [at // sector for at, _ in backup] == [SECTORS - 1 - -(-1024 // sector), SECTORS - 1]
    assert [at // sector for at, _ in primary] == [2, 1]
    assert all(len(data) % sector == 0 for _, data in (*backup, *primary))
    for at, data in (*backup, *primary):
        disk[at : at + len(data)] = data
    assert disk == disk_of(sector, ESP, VAR._replace(label="data", uuid=OWN))
    assert table_of(disk, sector).with_disk(OTHER).disk_uuid == OTHER


def test_when_only_the_backup_is_whole_the_primary_is_mended_before_anything_else() -> None:
    disk = disk_of(512, ESP, VAR)
    whole = bytes(disk)
    disk[512 : 512 * 4] = bytes(512 * 3)
    before = table_of(disk, 512)
    assert before.entries == (ESP, VAR)
    assert (before.primary_whole, before.backup_whole, before.backup) == (False, False, SECTORS - 1)
    mended, *rest = writes(before, before.change({1: ("esp", OTHER)}))
    assert len(rest) == 2
    for at, data in mended:
        disk[at : at + len(data)] = data
    assert disk == whole


def test_two_copies_that_differ_are_told_and_the_primary_counts() -> None:
    disk, other = disk_of(512, ESP, VAR), disk_of(512, ESP)
    disk[512 * 32 :] = other[512 * 32 :]
    table = table_of(disk, 512)
    assert table.entries == (ESP, VAR)
    assert (table.primary_whole, table.backup_whole) == (True, False)


@given(st.integers(0, 1024 + 1024 - 1), st.integers(1, 255))
def test_a_byte_that_changed_in_a_copy_makes_the_other_count(at: int, change: int) -> None:
    disk = disk_of(512, ESP, VAR)
    place = 512 + at
    is_read = at < 92 or at >= 512  # the rest of the header's sector means nothing
    disk[place] ^= change
    table = table_of(disk, 512)
    assert table.entries == (ESP, VAR)
    assert table.primary_whole is not (is_read and at < 512 + 1024)
    backup = SECTORS * 512 - 512
    disk[backup : backup + 8] = b"EFI PARX"
    if table.primary_whole:
        assert table_of(disk, 512).entries == (ESP, VAR)
    else:
        with pytest.raises(BadInput, match="no partition table that is whole") as caught:
            table_of(disk, 512)
        assert "installation media" in caught.value.hint


WRONG = {
    "another place": (24, struct.pack("<Q", 2)),
    "a header that is too small": (12, struct.pack("<I", 91)),
    "a header that is too large": (12, struct.pack("<I", 513)),
    "entries of another size": (84, struct.pack("<I", 256)),
    "no entries": (80, struct.pack("<I", 0)),
    "too many entries": (80, struct.pack("<I", 1025)),
    "an end before the beginning": (40, struct.pack("<QQ", 9, 8)),
    "an end past the disk": (48, struct.pack("<Q", SECTORS)),
    "entries in the header": (72, struct.pack("<Q", 0)),
    "entries past the disk": (72, struct.pack("<Q", SECTORS)),
    "other entries": (88, struct.pack("<I", 1)),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_header_with_a_right_checksum_and_wrong_numbers_does_not_count(case: str) -> None:
    disk = disk_of(512, ESP)
    at, data = WRONG[case]
    disk[512 + at : 512 + at + len(data)] = data
    disk[512 + 16 : 512 + 20] = bytes(4)
    size = min(struct.unpack_from("<I", disk, 512 + 12)[0], 512)
    disk[512 + 16 : 512 + 20] = struct.pack("<I", zlib.crc32(disk[512 : 512 + size]))
    table = table_of(disk, 512)
    assert not table.primary_whole
    assert table.entries == (ESP,)


@pytest.mark.parametrize("size", [0, 512, 700, 1024])
def test_a_disk_that_ends_early_has_no_table(size: int) -> None:
    disk = bytes(disk_of(512, ESP))[:size]
    with pytest.raises(BadInput):
        read(lambda at, count: disk[at : at + count], SECTORS * 512, 512)


def test_only_a_partition_that_is_there_gets_a_label_and_only_one_that_fits() -> None:
    table = table_of(disk_of(512, ESP), 512)
    assert table.change({1: ("x" * 36, OTHER)}).entries[0].label == "x" * 36
    for number, label in ((1, "x" * 37), (2, "x")):
        with pytest.raises(BadInput, match=f"^partition {number} cannot be labelled 'x"):
            table.change({number: (label, OTHER)})
