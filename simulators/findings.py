"""A disk that is judged over and over while it changes a little: what was found is found again only when it may differ.

Every finding keeps which bytes were read for it. As long as nobody writes there it stands, whatever else is written:
so a disk can be judged after each of a hundred thousand writes, and a verity tree is computed once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from simulators.machine import Unbootable

_PAGE = 4096
_PIECE = 1 << 20
T = TypeVar("T")
Span = tuple[int, int]  # first byte, and the one after the last


class DiskState:
    """The bytes of a file with others over them. A copy shares the file."""

    def __init__(self, base: Path) -> None:
        self._fd = os.open(base, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size
        self.pages: dict[int, bytes] = {}

    def copy(self) -> DiskState:
        other = object.__new__(DiskState)
        other._fd, other.size, other.pages = self._fd, self.size, self.pages.copy()
        return other

    def read(self, at: int, size: int) -> bytes:
        size = max(0, min(size, self.size - at))
        out = bytearray(os.pread(self._fd, size, at))
        assert len(out) == size, f"{size} bytes at {at}"
        for page in range(at // _PAGE, -(-(at + size) // _PAGE)):
            over = self.pages.get(page)
            if over is not None:
                start = page * _PAGE - at
                first, last = max(0, -start), min(_PAGE, size - start)
                out[start + first : start + last] = over[first:last]
        return bytes(out)

    def write(self, at: int, data: bytes) -> None:
        assert 0 <= at <= at + len(data) <= self.size, f"a write beyond the disk: {at}+{len(data)}"
        while data:
            page, inside = divmod(at, _PAGE)
            part = data[: _PAGE - inside]
            if len(part) < _PAGE:
                old = self.read(page * _PAGE, _PAGE)
                self.pages[page] = old[:inside] + part + old[inside + len(part) :]
            else:
                self.pages[page] = part
            data, at = data[len(part) :], at + len(part)


@dataclass(frozen=True)
class _Kept:
    value: Any
    failure: str
    spans: tuple[Span, ...]

    def touches(self, at: int, end: int) -> bool:
        place = bisect_right(self.spans, (at, 1 << 63))
        return (place > 0 and self.spans[place - 1][1] > at) or (place < len(self.spans) and self.spans[place][0] < end)


class Findings:
    """`state` may be written to, when `changed` is told. Reads count for the finding that is being made."""

    def __init__(self, state: DiskState, kept: dict[Hashable, _Kept] | None = None) -> None:
        self.state = state
        self._kept = dict(kept or {})
        self._open: list[list[Span]] = []

    def over(self, state: DiskState) -> Findings:
        """The same findings, of a copy of the state."""
        return Findings(state, self._kept)

    @property
    def size(self) -> int:
        return self.state.size

    def read(self, at: int, size: int) -> bytes:
        self._open[-1].append((at, at + size))
        return self.state.read(at, size)

    def find(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, or the Unbootable that it raises. It may use nothing but `key`, `read` and `find`."""
        kept = self._kept.get(key)
        if kept is None:
            self._open.append([])
            value: Any = None
            failure = ""
            try:
                value = make()
            except Unbootable as e:
                failure = str(e)
            kept = self._kept[key] = _Kept(value, failure, _merged(self._open.pop()))
        if self._open:
            self._open[-1].extend(kept.spans)
        if kept.failure:
            raise Unbootable(kept.failure)
        found: T = kept.value
        return found

    def depends(self, key: Hashable, at: int, size: int) -> bool:
        """Whether this finding may be another when these bytes change. True when there is none."""
        kept = self._kept.get(key)
        return kept is None or kept.touches(at, at + size)

    def changed(self, at: int, size: int) -> None:
        gone = [key for key, kept in self._kept.items() if kept.touches(at, at + size)]
        for key in gone:
            del self._kept[key]


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)
