"""Fill one part of a version: each block from where it costs least, as `orlop.node.update.blobs.plan` says.

What is in place stays; zeros and copies come from this disk; frames of a patch and all else come over the network. A
patch only saves bytes: whatever is wrong with it, the blocks that it would have made are fetched.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from orlop.errors import Missing
from orlop.model.release.index import BLOCK, DIGEST, Part, Patch
from orlop.net.errors import NetError
from orlop.node.update.blobs.fetch import Blocks, Fetcher, Frames, digests
from orlop.node.update.blobs.plan import BlockRun, FetchPlan, plan, runs
from orlop.node.update.slot import blocks, device, zstd
from orlop.node.update.slot.device import PIECE, Device, DiskFault
from orlop.node.update.slot.progress import Moved
from orlop.node.update.slot.verity import Damaged

_EMPTY = bytes(PIECE)


@dataclass(frozen=True)
class Old:
    """The same part of the version that runs: its first `size` bytes, and the patch from it that the release has."""

    device: Device
    size: int
    patch: Patch | None


@dataclass(frozen=True)
class Filling:
    """`part` is written to `target`; `paths` is where servers have it."""

    part: Part
    paths: tuple[str, ...]
    target: Device
    old: Old | None
    fetcher: Fetcher

    def run(self) -> Generator[Moved]:
        """Write every block that is not there yet. Raises NetError, NoSpace, DiskFault."""
        old = self.old
        here = yield from blocks.scan(self.target, self.part.size)
        there = (yield from blocks.scan(old.device, old.size)) if old else b""
        todo = plan(self.part, here=here, old=there, frames=old.patch.frames if old and old.patch else ())
        yield Moved(reused=todo.in_place * BLOCK)
        for run in todo.zeros:
            yield from self._zero(run)
        fetch = todo.fetch
        if old:
            yield from self._copy(old, todo)
            if left := (yield from self._unpack(old, todo)):
                fetch = runs(sorted({n for run in (*fetch, *left) for n in range(run.first, run.end)}))
        for first, data in self.fetcher.fetch(Blocks(self.part, self.paths), fetch):
            self._put(first * BLOCK, data)
            yield Moved(fetched=len(data))

    def _put(self, at: int, data: memoryview | bytes) -> None:
        self.target.write(data, at)
        self.target.start_writing(at, len(data))  # the flush at the end would otherwise wait for all of it

    def _zero(self, run: BlockRun) -> Generator[Moved]:
        for first in range(run.first, run.end, PIECE // BLOCK):
            size = min(PIECE, run.end * BLOCK - first * BLOCK, self.part.size - first * BLOCK)
            self.target.write(_EMPTY[:size], first * BLOCK)
            yield Moved(reused=size)

    def _copy(self, old: Old, todo: FetchPlan) -> Generator[Moved]:
        for copy in todo.copies:
            at = copy.first * BLOCK
            for piece in device.stream(old.device, copy.old * BLOCK, min(copy.count * BLOCK, self.part.size - at)):
                self._put(at, piece)
                at += len(piece)
                yield Moved(reused=len(piece))

    def _unpack(self, old: Old, todo: FetchPlan) -> Generator[Moved, None, list[BlockRun]]:
        """Write what the chosen frames make; the blocks they did not make, for whatever reason."""
        left = {frame.first: BlockRun(frame.first, frame.count) for frame in todo.frames}
        if old.patch is None:
            return []
        try:
            pieces = Frames(old.patch.blob, todo.frames)
            for number, data in self.fetcher.fetch(pieces, [BlockRun(n, 1) for n in range(len(left))]):
                frame = todo.frames[number]
                before = device.read(old.device, frame.old_first * BLOCK, frame.old_count * BLOCK)
                size = min(frame.count * BLOCK, self.part.size - frame.first * BLOCK)
                unpacked = zstd.unpack(bytes(data), before, size)
                first, end = frame.first * DIGEST, (frame.first + frame.count) * DIGEST
                if digests(memoryview(unpacked)) != self.part.digests[first:end]:
                    raise Damaged("a patch makes other blocks than the release promises")
                self._put(frame.first * BLOCK, unpacked)
                del left[frame.first]
                yield Moved(fetched=len(unpacked))
        except (NetError, Damaged, Missing, DiskFault):
            pass
        return list(left.values())
