"""The dm-verity tree, read as the kernel reads it: is this slot what its root hash promises?

Format 1 of veritysetup(8): a superblock, then the levels of the tree from the top down; each hash is
SHA-256(salt ‖ block). What this calls whole, the kernel mounts; what it does not, is an I/O error at run time.

Memory does not grow with the slot: blocks are read in pieces and compared with their place in the tree at once.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator
from dataclasses import dataclass

from orlop.errors import OrlopError
from orlop.model.release.index import BLOCK, DIGEST, PER_HASH_BLOCK
from orlop.node.update.blobs.fetch import digests
from orlop.node.update.slot import device
from orlop.node.update.slot.device import Device
from orlop.node.update.slot.progress import Moved, finish

_SUPERBLOCK = struct.Struct("<8sII16s32sIIQH6x256s168x")


class Damaged(OrlopError):
    """What was read is not what its hash says."""


@dataclass(frozen=True)
class Superblock:
    """`blocks` is how many data blocks the tree is over."""

    blocks: int
    salt: bytes


def superblock(tree: Device) -> Superblock:
    """Raises Damaged unless it is one this system makes: format 1, SHA-256, blocks of 4096 bytes."""
    raw = device.read(tree, 0, _SUPERBLOCK.size)
    if len(raw) < _SUPERBLOCK.size:
        raise Damaged("the verity partition is too small for a superblock")
    magic, version, kind, _, algorithm, data_size, hash_size, blocks, salt_size, salt = _SUPERBLOCK.unpack(raw)
    if magic != b"verity\0\0" or version != 1 or kind != 1:
        raise Damaged("the verity partition has no superblock of format 1")
    if algorithm.rstrip(b"\0") != b"sha256" or (data_size, hash_size) != (BLOCK, BLOCK) or salt_size > len(salt):
        raise Damaged("the verity tree is not of SHA-256 over blocks of 4096 bytes")
    if not 0 < blocks <= 1 << 31:
        raise Damaged(f"the verity tree is over {blocks} blocks")
    return Superblock(blocks, salt[:salt_size])


def levels(blocks: int) -> list[tuple[int, int]]:
    """(first block, blocks) of each level in the tree's device, from the leaves to the top."""
    sizes = []
    while blocks > 1:
        blocks = -(-blocks // PER_HASH_BLOCK)
        sizes.append(blocks)
    at = 1 + sum(sizes)
    all_levels = []
    for size in sizes:
        at -= size
        all_levels.append((at, size))
    return all_levels


def verify(data: Device, tree: Device, root_hash: str) -> None:
    """Raises Damaged, naming the first block that is not what the root hash promises."""
    finish(verifying(data, tree, root_hash))


def verifying(data: Device, tree: Device, root_hash: str) -> Generator[Moved]:
    """`verify`, piece by piece."""
    top = superblock(tree)
    below: Device = data
    first, count = 0, top.blocks
    for at, size in levels(top.blocks):
        yield from _level(below, first, count, tree, at, top.salt)
        below, first, count = tree, at, size
    last = device.read(below, first * BLOCK, BLOCK)
    if len(last) != BLOCK or hashlib.sha256(top.salt + last).hexdigest() != root_hash:
        raise Damaged("the verity tree's top does not have the root hash")


def _level(below: Device, first: int, count: int, tree: Device, at: int, salt: bytes) -> Generator[Moved]:
    """Compare the hashes of blocks `first`..+`count` of `below` with the tree's blocks from `at` on."""
    salted = hashlib.sha256(salt)
    done = 0
    for piece in device.stream(below, first * BLOCK, count * BLOCK):
        yield Moved(looked=len(piece))
        hashes = digests(piece, salted)
        here = len(hashes) // DIGEST
        wanted = device.read(tree, at * BLOCK + done * DIGEST, -(-here // PER_HASH_BLOCK) * BLOCK)
        if hashes.ljust(len(wanted), b"\0") != wanted:
            where = "/usr" if first == 0 else "the tree"
            bad = next((n for n in range(here) if hashes[n * DIGEST :][:DIGEST] != wanted[n * DIGEST :][:DIGEST]), here)
            raise Damaged(f"block {first + done + bad} of {where} is not what the verity tree says")
        done += here
    if done != count:
        raise Damaged(f"the partition ends after {done} of {count} blocks")
