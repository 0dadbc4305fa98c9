from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, Missing, NoSpace
from orlop.model.release.index import BLOCK
from orlop.model.words.version import Version
from orlop.node.update.slot import verity
from orlop.node.update.slot.device import PIECE, DeviceWindow, OpenFile, stream
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.verity import Damaged
from simulators import machine
from simulators.machine import disk_of, install
from simulators.medium import SECTOR, Medium
from simulators.releases import make_tree, release

V2 = Version.parse("20261202.1")
FIRST = release("20261201.1", blocks=16)
ROOT = FIRST.index.root_hash


@pytest.fixture
def medium() -> Medium:
    return install(FIRST)


def labels(medium: Medium) -> list[str]:
    return [e.label for e in disk_of(medium, ROOT).table().entries]


def test_the_slots_and_their_labels(medium: Medium) -> None:
    disk = disk_of(medium, ROOT)
    mine, other = disk.slots()
    assert (mine.version, mine.root_hash, other.version) == (FIRST.version, ROOT, None)
    disk.label(other, V2, "ab" * 32)
    assert disk.slots()[1].version == V2
    assert disk.slots()[1].root_hash == "ab" * 32
    disk.clear(disk.slots()[1])
    assert labels(medium) == ["esp", "orlop_20261201.1", "orlop_20261201.1_verity", "_empty", "_empty"]
    assert disk.slots()[1].root_hash != "ab" * 32
    table = disk.table()
    assert table.primary_whole and table.backup_whole


def test_only_labels_and_uuids_change(medium: Medium) -> None:
    before = disk_of(medium, ROOT).table().entries
    disk = disk_of(medium, ROOT)
    disk.label(disk.slots()[1], V2, "ab" * 32)
    for old, new in zip(before, disk.table().entries, strict=True):
        assert (old.number, old.kind, old.first, old.last, old.flags) == (
            new.number, new.kind, new.first, new.last, new.flags,
        )  # fmt: skip
        assert (old == new) == (old.number < 4)


def test_the_running_slot_is_not_opened_for_writing(medium: Medium) -> None:
    disk = disk_of(medium, ROOT)
    mine, _ = disk.slots()
    with pytest.raises(AssertionError), disk.writing(mine.usr):
        pass
    with pytest.raises(AssertionError):
        disk.clear(mine)


@pytest.mark.parametrize("lba", [1, 2])
def test_a_torn_primary_is_repaired_from_the_backup_before_anything_is_changed(medium: Medium, lba: int) -> None:
    medium.corrupt(lba * SECTOR + 40, b"torn")
    disk = disk_of(medium, ROOT)
    assert not disk.table().primary_whole
    other = disk.slots()[1]
    disk.label(other, V2, "ab" * 32)
    first = next(w for w in medium.log if w is not None)
    assert first.at < 64 * SECTOR, "the backup was written while it was all there was"
    assert disk.table().primary_whole and disk.table().backup_whole
    assert disk.slots()[1].version == V2


def test_no_whole_table_at_all(medium: Medium) -> None:
    medium.corrupt(SECTOR, bytes(SECTOR))
    medium.corrupt(medium.size - SECTOR, bytes(SECTOR))
    with pytest.raises(BadInput, match="no partition table that is whole"):
        disk_of(medium, ROOT).slots()


def test_a_disk_that_runs_something_else_is_left_alone(medium: Medium) -> None:
    with pytest.raises(Missing, match="no slot, or more than one"):
        disk_of(medium, "ff" * 32).slots()


@given(st.integers(1, 5), st.text("abc_", min_size=1, max_size=36), st.uuids())
def test_a_label_and_a_uuid_are_read_back(number: int, label: str, own: uuid.UUID) -> None:
    table = disk_of(install(FIRST), ROOT).table().change({number: (label, own)})
    entry = table.entries[number - 1]
    assert (entry.label, entry.uuid) == (label, own)


def test_what_cannot_be_labelled() -> None:
    table = disk_of(install(FIRST), ROOT).table()
    for number, label in ((6, "x"), (1, "x" * 37)):
        with pytest.raises(BadInput, match="cannot be labelled"):
            table.change({number: (label, uuid.uuid4())})


def test_a_disk_in_a_file(tmp_path: Path) -> None:
    medium = install(FIRST)
    path = tmp_path / "disk.raw"
    path.write_bytes(medium.durable.read(0, medium.size))
    disk = open_disk(path, ROOT)
    mine, other = disk.slots()
    with disk.writing(other.usr) as partition:
        partition.write(b"x" * BLOCK, 0)
        with pytest.raises(NoSpace, match="leaves its partition"):
            partition.write(b"x" * BLOCK, partition.size - 100)
        partition.flush()
    with disk.reading(mine.usr) as usr, disk.reading(mine.verity) as tree:
        verity.verify(usr, tree, ROOT)
    disk.close()
    raw = path.read_bytes()
    assert raw[other.usr.first * SECTOR :][:BLOCK] == b"x" * BLOCK


@pytest.mark.parametrize("blocks", [1, 2, 127, 128, 129, 300])
def test_a_tree_is_read_as_it_was_made(blocks: int) -> None:
    raw = random.Random(blocks).randbytes(blocks * BLOCK)
    tree, root = make_tree(raw, b"salt")
    data, hashes = of(raw), of(tree)
    assert len(list(verity.verifying(data, hashes, root))) >= len(raw) // PIECE
    with pytest.raises(Damaged):
        verity.verify(data, hashes, "00" * 32)


@given(st.data())
def test_one_changed_byte_anywhere_is_found(data: st.DataObject) -> None:
    usr, tree = bytearray(FIRST.usr), bytearray(FIRST.verity)
    part = data.draw(st.sampled_from([usr, tree]))
    at = data.draw(st.integers(0, len(part) - 1))
    part[at] ^= data.draw(st.integers(1, 255))
    try:
        verity.verify(of(bytes(usr)), of(bytes(tree)), ROOT)
    except Damaged:
        return
    assert part is tree and 16 <= at < BLOCK, "only what the superblock says of itself may change unseen"


def of(raw: bytes) -> Medium:
    found = Medium(len(raw))
    found.write(raw, 0)
    return found


@given(st.integers(0, 3 * PIECE), st.integers(0, 3 * PIECE + 5), st.integers(0, 100))
def test_a_stream_is_what_is_there(size: int, wanted: int, at: int) -> None:
    raw = (b"0123456789abcde" * (size // 15 + 1))[:size]
    there = DeviceWindow(of(raw or b"x"), 0, size)
    assert b"".join(bytes(p) for p in stream(there, at, wanted)) == raw[at : at + wanted]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="there is no"):
        OpenFile(tmp_path / "none")


def test_the_boot_judge_sees_what_the_disk_says(medium: Medium) -> None:
    found = machine.table_of(medium.durable)
    assert [(kind, own) for kind, own, _, _ in found] == [
        (e.kind, e.uuid) for e in disk_of(medium, ROOT).table().entries
    ]
