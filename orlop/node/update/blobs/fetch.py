"""Blocks from servers that may lie: every piece is checked before anybody sees it.

Several sources are asked, one at a time. One that fails goes behind the others, one that sends other bytes than the
index promises is asked a few times more and then not again, one that asks to be left alone is left alone. A transfer
that breaks goes on at the byte where it broke, at another source at the piece. As long as it gets further it never
gives up; when it does not, it does after every source was asked `TRIES` times in a row.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orlop.model.release.index import BLOCK, DIGEST, Blob, Frame, Part
from orlop.net.errors import Absent, Lying, NetError, Overloaded, Unreachable
from orlop.node.update.blobs.plan import BlockRun
from orlop.node.update.blobs.source import BlobSource, BlobStream

TRIES = 5
LIES = 3
PAUSE_SECONDS = 0.5
LONGEST_PAUSE = 8.0
PIECE = 1 << 18  # bytes read at a time
_EMPTY = hashlib.sha256()


class Pieces(Protocol):
    """What a blob is checked by: consecutive pieces, each with an end and a hash; `paths` is where it may be found."""

    @property
    def blob(self) -> Blob: ...

    @property
    def paths(self) -> tuple[str, ...]: ...

    def start(self, number: int) -> int: ...

    def end(self, number: int) -> int: ...

    def good(self, first: int, data: memoryview) -> int:
        """How many of the pieces that `data` is, from `first` on, are what they should be before one is not."""
        ...


@dataclass(frozen=True)
class Blocks:
    part: Part
    paths: tuple[str, ...]

    @property
    def blob(self) -> Blob:
        return self.part.blob

    def start(self, number: int) -> int:
        return number * BLOCK

    def end(self, number: int) -> int:
        return min((number + 1) * BLOCK, self.part.size)

    def good(self, first: int, data: memoryview) -> int:
        hashes = digests(data)
        wanted = self.part.digests[first * DIGEST :][: len(hashes)]
        if hashes == wanted:
            return len(hashes) // DIGEST
        return next(n for n in range(len(hashes)) if hashes[n * DIGEST :][:DIGEST] != wanted[n * DIGEST :][:DIGEST])


@dataclass(frozen=True)
class Frames:
    blob: Blob
    frames: tuple[Frame, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.blob.path,)

    def start(self, number: int) -> int:
        return self.frames[number].offset

    def end(self, number: int) -> int:
        return self.frames[number].offset + self.frames[number].size

    def good(self, first: int, data: memoryview) -> int:
        """One frame at a time is asked for: they need not lie one behind the other."""
        return int(hashlib.sha256(data).hexdigest() == self.frames[first].sha256)


def digests(data: memoryview, begun: hashlib._Hash = _EMPTY) -> bytes:
    """The SHA-256 of each block, begun with `begun`; the last may be short.

    A copy of one that was begun: on an emulated processor `sha256(block)` takes four times as long.
    """
    hashes = []
    for at in range(0, len(data), BLOCK):
        digest = begun.copy()
        digest.update(data[at : at + BLOCK])
        hashes.append(digest.digest())
    return b"".join(hashes)


class Pace:
    """How the network is used: no more than `rate` bytes a second on average, which is the setting `bandwidth`; None is
    no limit.

    Whoever waits for it, here or at a server, calls `alive` between two waits, none of which is longer than a minute.
    """

    def __init__(
        self,
        rate: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.rate, self.alive, self._clock, self._sleep = rate, alive, clock, sleep
        self._free_at = clock()

    def spend(self, count: int) -> None:
        if self.rate:
            now = self._clock()
            self._free_at = max(self._free_at, now - 1.0) + count / self.rate
            left = self._free_at - now
            while left > 0:
                self.alive()
                self._sleep(min(left, LONGEST_PAUSE))
                left -= LONGEST_PAUSE


@dataclass
class _Mirror:
    source: BlobSource
    failures: int = 0
    left_alone: bool = False
    lies: Counter[str] = field(default_factory=Counter)  # by blob: who has a bad copy of one may have the others
    held: tuple[str, BlobStream] | None = None


class Fetcher:
    """`bytes_in` counts what came over the network, useful or not."""

    def __init__(
        self, sources: Sequence[BlobSource], *, pace: Pace | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._mirrors = [_Mirror(source) for source in sources]
        self._pace, self._sleep = pace or Pace(None), sleep
        self.bytes_in = 0

    def fetch(self, pieces: Pieces, runs: Sequence[BlockRun]) -> Iterator[tuple[int, memoryview]]:
        """(number of the first, bytes) of consecutive pieces, in order, each as its hash says.

        The bytes are valid until the next is asked for. Raises NetError when no source has what is missing.
        """
        try:
            for run in runs:
                yield from self._run(pieces, run)
        finally:
            self.close()

    def _run(self, pieces: Pieces, run: BlockRun) -> Iterator[tuple[int, memoryview]]:
        partial = _Partial(pieces, run)
        failed, furthest = 0, partial.position
        while not partial.done():
            mirror = self._best(pieces.blob)
            partial.take_from(mirror.source.name)
            self._pace.alive()
            try:
                stream = self._stream(mirror, pieces, partial.position, pieces.end(run.end - 1))
                while not partial.done():
                    count = stream.read_into(partial.room())
                    if count == 0:
                        raise Unreachable(f"{mirror.source.name} ended the transfer at byte {stream.position}")
                    self.bytes_in += count
                    self._pace.spend(count)
                    yield from partial.take(count)
            except NetError as e:
                self._let_go(mirror)
                moved = partial.position > furthest
                furthest = max(furthest, partial.position)
                mirror.failures = 1 if moved else mirror.failures + 1
                failed = 0 if moved else failed + 1
                mirror.left_alone = isinstance(e, Overloaded) and e.after is not None
                if isinstance(e, Lying):
                    mirror.lies[pieces.blob.sha256] += 1
                self._wait_or_raise(failed, e, self._honest(pieces.blob))
            else:
                if not stream.whole:
                    self._let_go(mirror)
                mirror.failures = failed = 0

    def _honest(self, blob: Blob) -> list[_Mirror]:
        return [m for m in self._mirrors if m.lies[blob.sha256] < LIES and not m.left_alone]

    def _best(self, blob: Blob) -> _Mirror:
        honest = self._honest(blob)
        if not honest:
            raise Lying(
                "every source sends other bytes than the release promises",
                hint="the servers hold a damaged or forged copy: compare with another, or publish the release again",
            )
        return min(honest, key=lambda m: m.failures)

    def _wait_or_raise(self, failed: int, error: NetError, left: Sequence[_Mirror]) -> None:
        honest = len(left)
        if not honest or failed >= TRIES * honest or (isinstance(error, Absent) and failed >= honest):
            raise error
        if failed and failed % honest == 0:
            self._sleep(min(PAUSE_SECONDS * 2 ** (failed // honest - 1), LONGEST_PAUSE))

    def _stream(self, mirror: _Mirror, pieces: Pieces, start: int, end: int) -> BlobStream:
        """A stream that stands at `start`: the one that is open, when the server sends all of it anyway."""
        name = pieces.blob.sha256
        held = mirror.held
        if held is None or held[0] != name or held[1].position > start:
            self._let_go(mirror)
            held = mirror.held = (name, self._open(mirror.source, pieces.paths, start, end))
        stream = held[1]
        waste = memoryview(bytearray(PIECE))
        while stream.position < start:
            count = stream.read_into(waste[: start - stream.position])
            if count == 0:
                raise Unreachable(f"{mirror.source.name} ended the transfer at byte {stream.position}")
            self.bytes_in += count
            self._pace.spend(count)
        return stream

    def _open(self, source: BlobSource, paths: Sequence[str], start: int, end: int) -> BlobStream:
        for path in paths[:-1]:
            try:
                return source.open(path, start, end)
            except Absent:
                continue
        return source.open(paths[-1], start, end)

    def _let_go(self, mirror: _Mirror) -> None:
        if mirror.held:
            mirror.held[1].close()
            mirror.held = None

    def close(self) -> None:
        for mirror in self._mirrors:
            self._let_go(mirror)
            mirror.source.close()


class _Partial:
    """What has come of a run and is not given on yet. `position` is the offset of the next byte to ask for."""

    def __init__(self, pieces: Pieces, run: BlockRun) -> None:
        self._pieces, self._next, self._end = pieces, run.first, run.end
        largest = max(pieces.end(n) - pieces.start(n) for n in (run.first, run.end - 1))
        self._buffer = memoryview(bytearray(max(PIECE, largest)))
        self._held = 0
        self._giver = ""

    def done(self) -> bool:
        return self._next == self._end

    @property
    def position(self) -> int:
        return self._pieces.start(self._next) + self._held

    def room(self) -> memoryview:
        left = self._pieces.end(self._end - 1) - self.position
        return self._buffer[self._held : min(len(self._buffer), self._held + left)]

    def take_from(self, source: str) -> None:
        """Who gives what comes. What another began is thrown away: were it wrong, this one would seem to lie."""
        if source != self._giver:
            self._held, self._giver = 0, source

    def take(self, count: int) -> Iterator[tuple[int, memoryview]]:
        """Give on the pieces that are whole. Raises Lying at one that is not what it should be."""
        self._held += count
        first, last = self._next, self._next
        begin = self._pieces.start(first)
        while last < self._end and self._pieces.end(last) - begin <= self._held:
            last += 1
        at = self._pieces.end(last - 1) - begin if last > first else 0
        good = self._pieces.good(first, self._buffer[:at]) if at else 0
        bad = good < last - first
        self._next = first + good
        at = self._pieces.end(self._next - 1) - begin if good else 0
        if at:
            yield first, self._buffer[:at]
        if bad:
            self._held = 0
            raise Lying(f"{self._giver} sends other bytes than the release promises, at byte {self.position}")
        self._buffer[: self._held - at] = self._buffer[at : self._held]
        self._held -= at
