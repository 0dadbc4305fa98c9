"""Which blocks of a new part are here already, and what is the cheapest way to the others. Pure.

Three places have blocks: the slot that is written to (what an interrupted update left, or a version before last), the
part that runs, and the servers. Every block ends up in exactly one of: in place, zero, copied, unpacked, fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from orlop.model.index import BLOCK, DIGEST, Frame, Part

ZERO = hashlib.sha256(bytes(BLOCK)).digest()
GAP = 8  # blocks: fetching so many again costs less than one more request


@dataclass(frozen=True)
class Run:
    """Blocks `first`..+`count` of the new part."""

    first: int
    count: int

    @property
    def end(self) -> int:
        return self.first + self.count


@dataclass(frozen=True)
class Copy:
    """Blocks `first`..+`count` of the new part are `old`..+`count` of the running one."""

    first: int
    count: int
    old: int


@dataclass(frozen=True)
class Plan:
    """`in_place` is how many blocks need nothing; `fetch` may ask for some that are here, to ask less often."""

    in_place: int
    zeros: tuple[Run, ...]
    copies: tuple[Copy, ...]
    frames: tuple[Frame, ...]
    fetch: tuple[Run, ...]

    @property
    def fetch_bytes(self) -> int:
        """At most so many bytes come over the network."""
        return sum(run.count for run in self.fetch) * BLOCK + sum(frame.size for frame in self.frames)


def plan(part: Part, *, here: bytes, old: bytes, frames: Sequence[Frame] = ()) -> Plan:
    """`here` and `old` are the digests of the blocks in the slot and in the running part, as far as they were read."""
    zeros: list[int] = []
    same: dict[int, int] = {}
    missing: list[int] = []
    in_place = 0
    for n, (digest, found, before) in enumerate(zip_longest(*map(_split, (part.digests, here, old)), fillvalue=b"")):
        if not digest or found == digest:
            in_place += digest != b""
        elif digest == ZERO:
            zeros.append(n)
        elif before == digest:
            same[n] = n
        else:
            missing.append(n)
    same |= _moved(part, missing, old)
    missing = [n for n in missing if n not in same]
    chosen = cheaper(frames, missing)
    unpacked = {n for frame in chosen for n in range(frame.first, frame.first + frame.count)}
    fetch = runs((n for n in missing if n not in unpacked), gap=GAP)
    return Plan(in_place, runs(zeros), copies(same), chosen, fetch)


def _split(digests: bytes) -> list[bytes]:
    return [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]


def _moved(part: Part, missing: Sequence[int], old: bytes) -> dict[int, int]:
    """The missing blocks that the running part holds elsewhere."""
    wanted: dict[bytes, list[int]] = {}
    for n in missing:
        wanted.setdefault(part.digest(n), []).append(n)
    found: dict[int, int] = {}
    if wanted:
        for at in range(0, len(old), DIGEST):
            for n in wanted.pop(old[at : at + DIGEST], ()):
                found[n] = at // DIGEST
    return found


def cheaper(frames: Sequence[Frame], missing: Sequence[int]) -> tuple[Frame, ...]:
    """The frames that are smaller than the missing blocks they bring."""
    there = set(missing)
    chosen = []
    for frame in frames:
        brought = [n for n in range(frame.first, frame.first + frame.count) if n in there]
        if frame.size < len(brought) * BLOCK:
            chosen.append(frame)
            there.difference_update(brought)
    return tuple(chosen)


def runs(blocks: Iterable[int], *, gap: int = 0) -> tuple[Run, ...]:
    """Ascending block numbers as runs; two that are at most `gap` blocks apart become one."""
    found: list[Run] = []
    for n in blocks:
        if found and n <= found[-1].end + gap:
            found[-1] = Run(found[-1].first, n + 1 - found[-1].first)
        else:
            found.append(Run(n, 1))
    return tuple(found)


def copies(sources: dict[int, int]) -> tuple[Copy, ...]:
    """{new block: old block} as runs."""
    found: list[Copy] = []
    for n in sorted(sources):
        last = found[-1] if found else None
        if last and n == last.first + last.count and sources[n] == last.old + last.count:
            found[-1] = Copy(last.first, last.count + 1, last.old)
        else:
            found.append(Copy(n, 1, sources[n]))
    return tuple(found)
