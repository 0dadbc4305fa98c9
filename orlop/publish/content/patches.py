"""Patches: cheaper ways to the blocks that a machine with an older version has not.

A part of the new image is cut into segments. Where a segment has blocks that are nowhere in the old image, it is packed
by zstd against the piece of the old part that it most likely came from: `zstd --patch-from`. A frame that saves
nothing is left out; a patch without frames is no patch.

Which piece that is: blocks of the segment that the old part has too, at other places, vote with how far they moved.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from orlop.model.release.index import BLOCK, DIGEST, Blob, Frame, Index, Part, PartName, Patch
from orlop.processes import run

SEGMENT = 1024  # blocks of a frame: 4 MiB
AROUND = 512  # blocks of the old part before and after: 8 MiB in all
LEVEL = "-12"
WORTH = 0.9  # a frame must be smaller than this part of what it saves


@dataclass(frozen=True)
class Piece:
    """Blocks `first`..+`count` of the new part, and `old_first`..+`old_count` of the old one; `missing` of them new."""

    first: int
    count: int
    old_first: int
    old_count: int
    missing: int


def pieces(new: Part, old: Part, had: frozenset[bytes]) -> Iterator[Piece]:
    """The segments of `new` that have blocks which are not in `had`, trimmed to them."""
    places = {old.digest(n): n for n in reversed(range(old.blocks))}
    for start in range(0, new.blocks, SEGMENT):
        blocks = range(start, min(start + SEGMENT, new.blocks))
        missing = [n for n in blocks if new.digest(n) not in had]
        if not missing:
            continue
        moved = Counter(places[d] - n for n in blocks if (d := new.digest(n)) in places)
        shift = moved.most_common(1)[0][0] if moved else 0
        first, last = missing[0], missing[-1]
        old_first = min(max(0, first + shift - AROUND), max(0, old.blocks - 1))
        old_last = min(old.blocks, max(old_first + 1, last + 1 + shift + AROUND))
        yield Piece(first, last + 1 - first, old_first, old_last - old_first, len(missing))


def blocks_of(index: Index) -> frozenset[bytes]:
    """The hashes of every block of an image."""
    parts = (index.usr, index.verity, index.uki)
    return frozenset(p.digests[at : at + DIGEST] for p in parts for at in range(0, len(p.digests), DIGEST))


def make_patch(
    name: PartName, new: Part, new_file: Path, base: Index, base_file: Path, out: Path, zstd: Sequence[str]
) -> Patch | None:
    """The patch from a part of `base`, its blob written to `out`; None when it saves nothing. `zstd`: the program."""
    old = base.part(name)
    wanted = list(pieces(new, old, blocks_of(base)))
    frames: list[Frame] = []
    with (
        TemporaryDirectory(prefix="orlop-patch-", dir=out.parent) as work,
        new_file.open("rb") as new_f,
        base_file.open("rb") as old_f,
        out.open("wb") as blob,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        jobs = [pool.submit(_pack, Path(work), n, p, new_f, old_f, zstd) for n, p in enumerate(wanted)]
        for piece, job in zip(wanted, jobs, strict=True):
            packed = job.result()
            if len(packed) < WORTH * piece.missing * BLOCK:
                digest = hashlib.sha256(packed).hexdigest()
                at = (piece.first, piece.count, piece.old_first, piece.old_count)
                frames.append(Frame(*at, blob.tell(), len(packed), digest))
                blob.write(packed)
    if not frames:
        return None
    with out.open("rb") as f:
        whole = hashlib.file_digest(f, "sha256").hexdigest()
    return Patch(name, base.version, base.root_hash, Blob(whole, out.stat().st_size), tuple(frames))


def _pack(work: Path, n: int, piece: Piece, new: BinaryIO, old: BinaryIO, zstd: Sequence[str]) -> bytes:
    here, there, packed = (work / f"{n}.{what}" for what in ("new", "old", "zst"))
    here.write_bytes(os.pread(new.fileno(), piece.count * BLOCK, piece.first * BLOCK))
    there.write_bytes(os.pread(old.fileno(), piece.old_count * BLOCK, piece.old_first * BLOCK))
    options = ["-q", "-f", LEVEL, "--no-check", "--single-thread", f"--patch-from={there}"]
    run([*zstd, *options, here, "-o", packed], what="packing a patch")
    patch = packed.read_bytes()
    for path in (here, there, packed):
        path.unlink()
    return patch
