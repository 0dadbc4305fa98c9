"""bbolt's file: buckets of sorted keys, in pages. Read from a file that anybody may have made; written whole, once.

A file is pages of one size. Pages 0 and 1 are two *meta* pages, of which the one with the higher transaction counts.
It names the root of a tree whose leaves hold buckets; a bucket's value names the root of its own tree, or holds that
tree's only page itself. A *branch* has the first key and the page of each child, a *leaf* keys and values. A page that
is too small is continued in those after it.

Invariant of reading: whatever the bytes are, it ends, and in `BadInput` when they are not a bbolt file: no page is
visited twice, and nothing outside of the file is read. Of writing: buckets and keys are given in their order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from orlop.errors import BadInput

PAGE = 4096  # of what is written
MAGIC, VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META = 0x01, 0x02, 0x04
_BUCKET = 0x01  # flag of a leaf's element: its value is a bucket
_NO_FREELIST = 0xFFFFFFFFFFFFFFFF  # bbolt finds the free pages itself: etcd opens its files so
_HEAD = struct.Struct("<QHHI")  # of a page: its number, flags, elements, pages that continue it
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # where its key is from here, its length, the child
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, where its key is from here, length of the key, of the value
_META_PAGE = struct.Struct(
    "<IIIIQQQQQ"
)  # magic … root, its sequence, free list, pages, transaction; a checksum follows
_ROOT = struct.Struct("<QQ")  # a bucket: its root page, a sequence that etcd does not use
_MOST_ELEMENTS = 0xFFFF
_DEEPEST = 64
PAGE_SIZES = tuple(1 << n for n in range(9, 17))

Pair = tuple[bytes, bytes | memoryview]


def checksum(raw: bytes) -> int:
    """FNV-1a of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in raw:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


@dataclass(frozen=True)
class _Page:
    """`at`: of its first byte in `data`, which is the file, or the value that holds a bucket's only page."""

    data: memoryview
    at: int
    flags: int
    count: int


class BoltFile:
    """`data`: all of it, in memory or mapped. Raises BadInput, as all that reads does, when it is not such a file."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._size, self._root = self._meta()

    def _meta(self) -> tuple[int, int]:
        found: tuple[int, int, int] | None = None
        # the second meta page begins where the first one ends, and only the first one says where that is
        for at in (0, *PAGE_SIZES):
            try:
                raw = self._cut(self._data, at + _HEAD.size, _META_PAGE.size + 8)
            except BadInput:
                break
            magic, version, size, _, root, _, _, _, transaction = _META_PAGE.unpack_from(raw)
            said = int.from_bytes(raw[_META_PAGE.size :], "little")
            if (magic, version) != (MAGIC, VERSION) or said != checksum(bytes(raw[: _META_PAGE.size])):
                continue
            if size in PAGE_SIZES and at in (0, size) and (found is None or transaction > found[0]):
                found = transaction, size, root
        if found is None:
            raise BadInput("it is not a database of etcd")
        return found[1:]

    def buckets(self) -> list[bytes]:
        """The names of all."""
        return [name for name, _ in self._elements(self._page(self._root), set(), buckets=True)]

    def pairs(self, bucket: bytes) -> Iterator[tuple[bytes, memoryview]]:
        """Keys and values of a bucket, in order; nothing when it is not there."""
        for name, value in self._elements(self._page(self._root), set(), buckets=True):
            if name == bucket:
                root, _ = _ROOT.unpack_from(self._cut(value, 0, _ROOT.size))
                top = self._page(root) if root else self._read(value, _ROOT.size)
                yield from self._elements(top, set(), buckets=False)
                return

    def _elements(
        self, page: _Page, seen: set[int], *, buckets: bool, depth: int = 0
    ) -> Iterator[tuple[bytes, memoryview]]:
        """Keys and values of all leaves below."""
        if depth > _DEEPEST:
            raise BadInput("its pages lead deeper and deeper")
        start = page.at + _HEAD.size
        for n in range(page.count):
            if page.flags & _BRANCH:
                _, _, child = _BRANCH_ELEMENT.unpack(self._cut(page.data, start + n * 16, 16))
                if child in seen:
                    raise BadInput(f"two ways lead to its page {child}")
                seen.add(child)
                yield from self._elements(self._page(child), seen, buckets=buckets, depth=depth + 1)
                continue
            at = start + n * 16
            flags, offset, key_size, value_size = _LEAF_ELEMENT.unpack(self._cut(page.data, at, 16))
            if bool(flags & _BUCKET) != buckets:
                raise BadInput("it has a value where a bucket must be, or the other way")
            key = self._cut(page.data, at + offset, key_size)
            yield bytes(key), self._cut(page.data, at + offset + key_size, value_size)

    def _page(self, number: int) -> _Page:
        return self._read(self._data, number * self._size, number)

    def _read(self, data: memoryview, at: int, number: int | None = None) -> _Page:
        said, flags, count, _ = _HEAD.unpack(self._cut(data, at, _HEAD.size))
        if (number is not None and said != number) or flags not in (_BRANCH, _LEAF):
            raise BadInput(f"its page {number if number is not None else 'in a bucket'} is damaged")
        return _Page(data, at, flags, count)

    @staticmethod
    def _cut(data: memoryview, at: int, size: int) -> memoryview:
        if at < 0 or at + size > len(data):
            raise BadInput("it ends too early, or points outside of itself")
        return data[at : at + size]


def write(file: BinaryIO, buckets: Mapping[bytes, Iterable[Pair]]) -> None:
    """A new file. Each bucket's pairs must come in the order of their keys, each key once; they are taken one by one,
    so that they may be more than the memory holds.
    """
    pages = _Pages(file)
    roots = [(name, _ROOT.pack(pages.tree(buckets[name]), 0)) for name in sorted(buckets)]
    root = pages.tree(roots, _BUCKET)
    for number in (0, 1):
        meta = _META_PAGE.pack(MAGIC, VERSION, PAGE, 0, root, 0, _NO_FREELIST, pages.next, number)
        page = _HEAD.pack(number, _META, 0, 0) + meta + checksum(meta).to_bytes(8, "little")
        file.seek(number * PAGE)
        file.write(page.ljust(PAGE, b"\0"))


class _Pages:
    """Pages one after the other, from 2 on; `next` is the number of the next one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.next = file, 2
        file.seek(2 * PAGE)

    def tree(self, pairs: Iterable[Pair], flags: int = 0) -> int:
        """The root of a new tree of these pairs."""
        level = list(self._leaves(pairs, flags))
        while len(level) > 1:
            level = list(self._branches(level))
        return level[0][1]

    def _leaves(self, pairs: Iterable[Pair], flags: int) -> Iterator[tuple[bytes, int]]:
        """Its first key and its number, of each leaf; one without anything when there is nothing."""
        held: list[Pair] = []
        size = _HEAD.size
        for key, value in pairs:
            assert not held or held[-1][0] < key, "not in order"
            more = _LEAF_ELEMENT.size + len(key) + len(value)
            if held and (size + more > PAGE or len(held) == _MOST_ELEMENTS):
                yield held[0][0], self._leaf(held, flags)
                held, size = [], _HEAD.size
            held.append((key, value))
            size += more
        yield held[0][0] if held else b"", self._leaf(held, flags)

    def _leaf(self, pairs: list[Pair], flags: int) -> int:
        elements, data = [], []
        at = _LEAF_ELEMENT.size * len(pairs)  # where the key is, counted from the element itself
        for n, (key, value) in enumerate(pairs):
            elements.append(_LEAF_ELEMENT.pack(flags, at - n * _LEAF_ELEMENT.size, len(key), len(value)))
            data += [key, value]
            at += len(key) + len(value)
        return self._write(_LEAF, len(pairs), b"".join([*elements, *data]))

    def _branches(self, children: list[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
        held: list[tuple[bytes, int]] = []
        size = _HEAD.size
        for key, child in children:
            more = _BRANCH_ELEMENT.size + len(key)
            # bbolt wants two keys in a branch at least, however long they are
            if len(held) > 1 and (size + more > PAGE or len(held) == _MOST_ELEMENTS):
                yield held[0][0], self._branch(held)
                held, size = [], _HEAD.size
            held.append((key, child))
            size += more
        yield held[0][0], self._branch(held)

    def _branch(self, children: list[tuple[bytes, int]]) -> int:
        elements = []
        at = _BRANCH_ELEMENT.size * len(children)
        for n, (key, child) in enumerate(children):
            elements.append(_BRANCH_ELEMENT.pack(at - n * _BRANCH_ELEMENT.size, len(key), child))
            at += len(key)
        return self._write(_BRANCH, len(children), b"".join([*elements, *(key for key, _ in children)]))

    def _write(self, flags: int, count: int, body: bytes) -> int:
        number, more = self.next, (_HEAD.size + len(body) - 1) // PAGE
        self._file.write((_HEAD.pack(number, flags, count, more) + body).ljust((more + 1) * PAGE, b"\0"))
        self.next += more + 1
        return number
