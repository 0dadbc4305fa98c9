"""Which blocks of a new part are here already, and what is the cheapest way to the others. Pure.

Three places have blocks: the slot that is written to (what an interrupted update left, or a version before last), the
part that runs, and the servers. Every block ends up in exactly one of: in place, zero, copied, unpacked, fetched.

A slot of 1 GiB has 262144 blocks. What is noted of each is a number in an array, never an object: a list of their
digests alone would take 20 MB.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orlop.model.release.index import BLOCK, DIGEST, Frame, Part

ZERO = hashlib.sha256(bytes(BLOCK)).digest()
GAP = 8  # blocks: fetching so many again costs less than one more request
AT_ONCE = 1 << 14  # missing blocks that are looked for in one pass
NONE = (1 << 32) - 1  # no block of the running part: a part has fewer


@dataclass(frozen=True, slots=True)
class BlockRun:
    """Blocks `first`..+`count` of the new part."""

    first: int
    count: int

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass(frozen=True, slots=True)
class Copy:
    """Blocks `first`..+`count` of the new part are `old`..+`count` of the running one."""

    first: int
    count: int
    old: int


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """`in_place` is how many blocks need nothing; `fetch` may ask for some that are here, to ask less often."""

    in_place: int
    zeros: tuple[BlockRun, ...]
    copies: tuple[Copy, ...]
    frames: tuple[Frame, ...]
    fetch: tuple[BlockRun, ...]

    @property
    def fetch_bytes(self) -> int:
        """At most so many bytes come over the network."""
        return sum(run.count for run in self.fetch) * BLOCK + sum(frame.size for frame in self.frames)


def plan(part: Part, *, here: bytes, old: bytes, frames: Sequence[Frame] = ()) -> FetchPlan:
    """`here` and `old` are the digests of the blocks in the slot and in the running part, as far as they were read."""
    zeros, missing = array("I"), array("I")
    sources = array("I", [NONE]) * part.blocks
    for n in range(part.blocks):
        at = n * DIGEST
        digest = part.digests[at : at + DIGEST]
        if here[at : at + DIGEST] == digest:
            continue
        if digest == ZERO:
            zeros.append(n)
        elif old[at : at + DIGEST] == digest:
            sources[n] = n
        else:
            missing.append(n)
    in_place = sources.count(NONE) - len(zeros) - len(missing)
    _find_moved(part, missing, old, sources)
    missing = array("I", (n for n in missing if sources[n] == NONE))
    chosen = cheaper(frames, missing)
    unpacked = bytearray(part.blocks)
    for frame in chosen:
        unpacked[frame.first : frame.first + frame.count] = b"\1" * frame.count
    fetch = runs((n for n in missing if not unpacked[n]), gap=GAP)
    return FetchPlan(in_place, runs(zeros), copies(sources), chosen, fetch)


def _find_moved(part: Part, missing: array[int], old: bytes, sources: array[int]) -> None:
    """Note where the running part holds missing blocks elsewhere. Of many, some are looked for in each pass."""
    passes = -(-len(missing) // AT_ONCE)
    for mine in range(passes):
        wanted: dict[bytes, list[int]] = {}
        for n in missing:
            if part.digests[n * DIGEST] % passes == mine:
                wanted.setdefault(part.digest(n), []).append(n)
        for at in range(0, len(old), DIGEST):
            if old[at] % passes == mine:
                for n in wanted.pop(old[at : at + DIGEST], ()):
                    sources[n] = at // DIGEST


def cheaper(frames: Sequence[Frame], missing: Sequence[int]) -> tuple[Frame, ...]:
    """The frames that are smaller than the missing blocks they bring."""
    there = bytearray(max((frame.first + frame.count for frame in frames), default=0))
    for n in missing:
        if n < len(there):
            there[n] = 1
    chosen = []
    for frame in frames:
        brought = sum(there[frame.first : frame.first + frame.count])
        if frame.size < brought * BLOCK:
            chosen.append(frame)
            there[frame.first : frame.first + frame.count] = bytes(frame.count)
    return tuple(chosen)


def runs(blocks: Iterable[int], *, gap: int = 0) -> tuple[BlockRun, ...]:
    """Ascending block numbers as runs; two that are at most `gap` blocks apart become one."""
    all_runs: list[BlockRun] = []
    for n in blocks:
        if all_runs and n <= all_runs[-1].end + gap:
            all_runs[-1] = BlockRun(all_runs[-1].first, n + 1 - all_runs[-1].first)
        else:
            all_runs.append(BlockRun(n, 1))
    return tuple(all_runs)


def copies(sources: Sequence[int]) -> tuple[Copy, ...]:
    """For each new block the old one that it is, or NONE; as runs."""
    all_copies: list[Copy] = []
    for n, source in enumerate(sources):
        last = all_copies[-1] if all_copies else None
        if source == NONE:
            continue
        if last and n == last.first + last.count and source == last.old + last.count:
            all_copies[-1] = Copy(last.first, last.count + 1, last.old)
        else:
            all_copies.append(Copy(n, 1, source))
    return tuple(all_copies)
