"""What a snapshot holds, as far as who restores it must know: whether it is whole, whose it is, how far it goes.

A snapshot is etcd's database with the SHA-256 of all before it at its end. Its bucket `key` has every change that was
not compacted, by its revision: what a key holds is what its last change says.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from orlop.errors import BadInput
from orlop.store.snapshot.bolt import PAGE_SIZES, BoltFile

HASH_BYTES = 32
KEYS = b"key"  # the bucket
NEEDED = frozenset({KEYS, b"meta"})
_REVISION = 17  # bytes: of the commit, a line, the change in it; one more says that the key was deleted
_PIECE = 1 << 20
_HINT = "take another one: it was damaged on its way, or is something else"


@dataclass(frozen=True)
class SnapshotContents:
    """`revision`: of its last change; `changes`: how many it has; `values`: of the keys that were asked for."""

    revision: int
    changes: int
    values: Mapping[str, str]


@contextmanager
def opened(file: BinaryIO, called: str) -> Iterator[BoltFile]:
    """The database in a snapshot whose hash was found to be right. `called` is what errors call the file.

    Raises BadInput, also of what is found in it while the block runs.
    """
    size = os.fstat(file.fileno()).st_size
    if size < 2 * PAGE_SIZES[0] + HASH_BYTES:
        raise BadInput(f"{called} is not a snapshot of etcd: it has {size} bytes", hint=_HINT)
    # not closed: what was read of it may be held still, so it goes with the last who holds some of it
    whole = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
    try:
        if _hash(whole[:-HASH_BYTES]) != bytes(whole[-HASH_BYTES:]):
            raise BadInput("the hash at its end is not that of what is before it")
        yield BoltFile(whole[:-HASH_BYTES])
    except BadInput as e:
        raise BadInput(f"{called} is not a whole snapshot of etcd: {e.message}", hint=_HINT) from None


def _hash(data: memoryview) -> bytes:
    sum_ = hashlib.sha256()
    for at in range(0, len(data), _PIECE):
        sum_.update(data[at : at + _PIECE])
    return sum_.digest()


def read(database: BoltFile, wanted: Collection[str]) -> SnapshotContents:
    """Raises BadInput."""
    if missing := NEEDED - set(database.buckets()):
        raise BadInput(f"it has no bucket {min(missing).decode()}")
    names = {key.encode(): key for key in wanted}
    revision, changes = 0, 0
    values: dict[str, str] = {}
    for key, value in database.pairs(KEYS):
        revision, changes = main(key), changes + 1
        name, held = _pair(value)
        if name in names:
            if len(key) > _REVISION:
                values.pop(names[name], None)
            else:
                values[names[name]] = held.decode(errors="replace")
    return SnapshotContents(revision, changes, values)


def main(key: bytes) -> int:
    """The revision of the commit that a change was part of. Raises BadInput."""
    if len(key) not in (_REVISION, _REVISION + 1) or key[8:9] != b"_":
        raise BadInput("it has a change without a revision")
    return int.from_bytes(key[:8])


def revision_key(revision: int) -> bytes:
    return revision.to_bytes(8) + b"_" + bytes(8)


def _pair(raw: memoryview) -> tuple[bytes, bytes]:
    """Key and value of a change: fields 1 and 5 of a protobuf message. Raises BadInput."""
    key, value, at = b"", b"", 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, at = _varint(raw, at)
        if tag & 7 == 0:
            continue
        if tag & 7 != 2 or at + number > len(raw):
            raise BadInput("it has a change that cannot be read")
        if tag >> 3 == 1:
            key = bytes(raw[at : at + number])
        elif tag >> 3 == 5:
            value = bytes(raw[at : at + number])
        at += number
    return key, value


def _varint(raw: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < 64:
        value |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not raw[at - 1] & 0x80:
            return value, at
    raise BadInput("it has a change that cannot be read")
