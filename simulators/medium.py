"""A disk whose power can fail: what was flushed stays, of the rest any sectors, or parts of sectors, may be lost.

Every write is kept in the order it came, with the flushes between, so that the state of the medium after a cut at any
moment can be made. Pages of 4 KiB are kept where something was written; all else is zeros.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from orlop.node.update.slot.device import DiskFault

SECTOR = 512
_PAGE = 4096


class PowerCut(BaseException):  # no `except OSError`, no `except Exception` may stop it
    """The power failed: nothing more is written."""


@dataclass(frozen=True)
class Write:
    at: int
    data: bytes


FLUSH = None
Log = list[Write | None]


class Pages:
    """Bytes by page. A copy shares its pages with the original until either writes to one."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._pages: dict[int, bytes] = {}

    def copy(self) -> Pages:
        other = Pages(self.size)
        other._pages = self._pages.copy()
        return other

    def write(self, at: int, data: bytes) -> None:
        assert 0 <= at <= at + len(data) <= self.size, f"a write beyond the disk: {at}+{len(data)}"
        while data:
            page, inside = divmod(at, _PAGE)
            part = data[: _PAGE - inside]
            old = self._pages.get(page, bytes(_PAGE))
            self._pages[page] = old[:inside] + part + old[inside + len(part) :]
            data, at = data[len(part) :], at + len(part)

    def read(self, at: int, size: int) -> bytes:
        size = max(0, min(size, self.size - at))
        first, last = at // _PAGE, -(-(at + size) // _PAGE)
        raw = b"".join([self._pages.get(page, b"") or bytes(_PAGE) for page in range(first, last)])
        return raw[at - first * _PAGE :][:size]


class Medium:
    """A `Device`. `before_write` may raise, or cut the power, before each write and flush.

    `before_read` is told where each read begins.

    `unreadable` are blocks of 4096 bytes, by number, that went bad: what is written there anew can be read again, as on
    a disk that has spare sectors.
    """

    sector = SECTOR

    def __init__(self, size: int) -> None:
        self.size = size
        self.durable = Pages(size)
        self._seen = Pages(size)
        self.log: Log = []
        self._since_flush: list[Write] = []
        self.before_write: Callable[[Write | None], None] = lambda _: None
        self.before_read: Callable[[int], None] = lambda _: None
        self.unreadable: set[int] = set()

    def read_into(self, buffer: memoryview, at: int) -> int:
        self.before_read(at)
        if self.unreadable.intersection(_blocks(at, len(buffer))):
            raise DiskFault(f"the medium cannot be read at {at}")
        found = self._seen.read(at, len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def write(self, data: bytes | memoryview, at: int) -> None:
        write = Write(at, bytes(data))
        self.before_write(write)
        self.unreadable.difference_update(_blocks(at, len(data)))
        self._seen.write(at, write.data)
        self.log.append(write)
        self._since_flush.append(write)

    def flush(self) -> None:
        self.before_write(FLUSH)
        self.log.append(FLUSH)
        self._since_flush = []
        self.durable = self._seen.copy()

    def start_writing(self, at: int, size: int) -> None:
        pass

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass

    def corrupt(self, at: int, data: bytes) -> None:
        """The medium goes bad: other bytes, durable at once, that nobody wrote."""
        self.durable.write(at, data)
        self._seen.write(at, data)

    def cut(self, rng: random.Random) -> None:
        """The power fails and comes back: of what was not flushed, an arbitrary part has reached the medium."""
        after = self.durable.copy()
        lose = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for write in self._since_flush:
            for at, piece in sectors(write):
                if rng.random() >= lose:
                    after.write(at, torn(piece, rng, at) if rng.random() < 0.05 else piece)
        self.durable, self._seen, self._since_flush = after, after.copy(), []


def _blocks(at: int, size: int) -> range:
    return range(at // _PAGE, -(-(at + size) // _PAGE))


def sectors(write: Write) -> list[tuple[int, bytes]]:
    """The write, sector by sector."""
    found = []
    at, data = write.at, write.data
    while data:
        size = SECTOR - at % SECTOR
        found.append((at, data[:size]))
        at, data = at + size, data[size:]
    return found


def torn(piece: bytes, rng: random.Random, _at: int) -> bytes:
    """The first bytes of a sector, as many as had reached the medium when the power failed."""
    return piece[: rng.randrange(len(piece))]
