"""Patches from the running version: cheaper, and trusted no more than anything else."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from orlop.model.release.index import BLOCK, Frame, Patch, decode, encode
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.blobs.source import FolderSource
from orlop.node.update.slot import zstd
from orlop.node.update.slot.progress import finish
from orlop.node.update.slot.verity import Damaged
from orlop.node.update.slot.writer import Writer
from simulators import machine
from simulators.medium import Medium
from simulators.patching import make_patch, pack
from simulators.releases import Release, make_tree, part, release

OLD = release("20261201.1", blocks=200)


def slightly_changed() -> Release:
    """A byte in every third block: blocks to fetch that are almost what the machine has."""
    new = release("20261202.1", blocks=200, like=OLD)
    usr = bytearray(OLD.usr)
    for n in range(0, 200, 3):
        usr[n * BLOCK + 17] ^= 1
    tree, root = make_tree(bytes(usr), b"salt")
    uki = new.uki.replace(new.index.root_hash.encode(), root.encode())
    index = replace(new.index, root_hash=root, usr=part(bytes(usr)), verity=part(tree), uki=part(uki))
    return Release(index, bytes(usr), tree, uki)


NEW = slightly_changed()


def patched() -> tuple[Release, bytes, Patch]:
    made = make_patch("usr", OLD.usr, OLD.index, NEW.usr, NEW.index)
    assert made is not None
    patch, blob = made
    return NEW.with_patches(patch), blob, patch


def install(folder: Path, new: Release, blob: bytes | None, *, unreadable: int | None = None) -> tuple[int, Medium]:
    """Bytes fetched, and the disk; the update verified and published. `unreadable` is a block of the running slot."""
    new.publish(folder)
    if blob is not None:
        (folder / new.index.patches[0].blob.path).write_bytes(blob)
    medium = machine.install(OLD)
    if unreadable is not None:
        medium.unreadable.add(machine.windows(medium)[1].start // BLOCK + unreadable)
    writer = Writer(machine.disk_of(medium, OLD.index.root_hash), machine.esp_of(medium, random.Random(0)), OLD.version)
    fetcher = Fetcher([FolderSource(folder)], sleep=lambda _: None)
    writer.prepare(new.index)
    finish(writer.fill(new.index, fetcher))
    finish(writer.verify(new.index))
    writer.publish(new.index)
    machine.check(medium.durable, machine.entries(medium.durable)[0], {new.uki})
    return fetcher.bytes_in, medium


def test_a_patch_saves_bytes_and_makes_the_same_slot(tmp_path: Path) -> None:
    new, blob, _ = patched()
    assert decode(encode(new.index)) == new.index
    plain, without = install(tmp_path / "plain", NEW, None)
    cheap, with_patch = install(tmp_path / "patched", new, blob)
    assert cheap < plain / 10
    start = machine.windows(without)[3].start
    assert with_patch.durable.read(start, 200 * BLOCK) == without.durable.read(start, 200 * BLOCK) == NEW.usr


@pytest.mark.parametrize("how", ["missing", "other bytes", "cut short"])
def test_a_patch_that_is_not_what_it_should_be_costs_only_bytes(tmp_path: Path, how: str) -> None:
    new, blob, _ = patched()
    spoilt = {"missing": None, "other bytes": bytes(len(blob)), "cut short": blob[:50]}[how]
    install(tmp_path, new, spoilt)


def test_a_patch_over_a_block_that_cannot_be_read_costs_only_bytes(tmp_path: Path) -> None:
    new, blob, patch = patched()
    _, medium = install(tmp_path, new, blob, unreadable=patch.frames[0].old_first)
    assert medium.unreadable, "the running slot is not written to"


def test_a_patch_that_makes_other_blocks_is_not_believed(tmp_path: Path) -> None:
    """The index is signed, and its patch is for another old image than the one that is here."""
    wrong = pack(NEW.usr[: 9 * BLOCK], OLD.usr[: 9 * BLOCK][::-1])
    blob = part(wrong).blob
    frame = Frame(0, 9, 0, 9, 0, len(wrong), blob.sha256)
    patch = Patch("usr", OLD.version, OLD.index.root_hash, blob, (frame,))
    install(tmp_path, NEW.with_patches(patch), wrong)


def test_a_patch_from_another_version_is_not_used(tmp_path: Path) -> None:
    new, blob, patch = patched()
    other = NEW.with_patches(replace(patch, base_root_hash="00" * 32))
    plain, _ = install(tmp_path / "a", NEW, None)
    assert install(tmp_path / "b", other, blob)[0] == plain
    assert new.index.patches


def test_nothing_to_gain_is_no_patch() -> None:
    assert make_patch("usr", OLD.usr, OLD.index, OLD.usr, OLD.index) is None
    unlike = release("20261203.1", blocks=32)
    assert make_patch("usr", OLD.usr, OLD.index, unlike.usr, unlike.index) is None


def test_frames_that_do_not_unpack() -> None:
    frame = pack(b"x" * 5000, b"y" * 5000)
    assert zstd.unpack(frame, b"y" * 5000, 5000) == b"x" * 5000
    for spoilt, size in ((frame, 4999), (frame, 5001), (b"garbage", 5000), (b"", 5000)):
        with pytest.raises(Damaged):
            zstd.unpack(spoilt, b"y" * 5000, size)
