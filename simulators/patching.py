"""Make the patches that a release offers to machines that run the version before it.

A patch is a row of zstd frames, each of up to 1 MiB of the new part, packed with a piece of the old part around the
same place as what it refers to (`zstd --patch-from`, piece by piece, so that a machine needs some megabytes to unpack
one and not the whole image). Only blocks that the machine would have to fetch are worth a frame, and only when the
frame is smaller than they are.

Same inputs, same bytes, for one version of libzstd.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator
from typing import Any

from orlop.errors import CommandFailed
from orlop.model.release.index import BLOCK, Blob, Frame, Index, Part, PartName, Patch
from orlop.node.update.blobs.plan import plan
from orlop.node.update.slot.zstd import library

FRAME_BLOCKS = 256
AROUND_BLOCKS = 384  # of the old part, before and behind the place a frame is at
LEVEL = 19
_COMPRESSION_LEVEL, _WINDOW_LOG, _LONG_DISTANCE = 100, 101, 160
_WINDOW = 23


def make_patch(
    name: PartName, old: bytes, old_index: Index, new: bytes, new_index: Index
) -> tuple[Patch, bytes] | None:
    """The patch and its blob, or None when no frame is smaller than the blocks it brings."""
    part, base = new_index.part(name), old_index.part(name)
    frames: list[Frame] = []
    blob = bytearray()
    for first, count, old_first, old_count, missing in _places(part, base):
        here = new[first * BLOCK : (first + count) * BLOCK]
        packed = pack(here, old[old_first * BLOCK : (old_first + old_count) * BLOCK])
        if len(packed) < missing * BLOCK:
            sha256 = hashlib.sha256(packed).hexdigest()
            frames.append(Frame(first, count, old_first, old_count, len(blob), len(packed), sha256))
            blob += packed
    if not frames:
        return None
    about = Blob(hashlib.sha256(blob).hexdigest(), len(blob))
    return Patch(name, old_index.version, old_index.root_hash, about, tuple(frames)), bytes(blob)


def _places(part: Part, base: Part) -> Iterator[tuple[int, int, int, int, int]]:
    """(first, blocks, first of the old part, blocks of it, missing blocks) for each frame that could be worth it."""
    made = plan(part, here=b"", old=base.digests)
    known = {n for copy in made.copies for n in range(copy.first, copy.first + copy.count)}
    known |= {n for run in made.zeros for n in range(run.first, run.end)}
    missing = [n for run in made.fetch for n in range(run.first, run.end) if n not in known]
    shifts = {copy.first: copy.old - copy.first for copy in made.copies}
    shift = 0
    for first in range(0, part.blocks, FRAME_BLOCKS):
        count = min(FRAME_BLOCKS, part.blocks - first)
        shift = next((shifts[n] for n in range(first + count - 1, first - 1, -1) if n in shifts), shift)
        brought = sum(first <= n < first + count for n in missing)
        if brought:
            start = min(max(0, first + shift - AROUND_BLOCKS), max(0, base.blocks - 1))
            end = max(start + 1, min(base.blocks, first + shift + count + AROUND_BLOCKS))
            yield first, count, start, end - start, brought


def pack(data: bytes, old: bytes) -> bytes:
    """One frame of `data` that refers to `old`. Raises Missing without libzstd."""
    lib = _compressor()
    context = lib.ZSTD_createCCtx()
    if not context:
        raise MemoryError
    try:
        for parameter, value in ((_COMPRESSION_LEVEL, LEVEL), (_WINDOW_LOG, _WINDOW), (_LONG_DISTANCE, 1)):
            _checked(lib, lib.ZSTD_CCtx_setParameter(context, parameter, value))
        _checked(lib, lib.ZSTD_CCtx_refPrefix(context, old, len(old)))
        out = ctypes.create_string_buffer(lib.ZSTD_compressBound(len(data)))
        size = _checked(lib, lib.ZSTD_compress2(context, out, len(out), data, len(data)))
    finally:
        lib.ZSTD_freeCCtx(context)
    return out.raw[:size]


def _compressor() -> Any:
    found = library()
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    for name, result, arguments in (
        ("ZSTD_createCCtx", pointer, []),
        ("ZSTD_freeCCtx", size, [pointer]),
        ("ZSTD_CCtx_setParameter", size, [pointer, ctypes.c_int, ctypes.c_int]),
        ("ZSTD_CCtx_refPrefix", size, [pointer, ctypes.c_char_p, size]),
        ("ZSTD_compressBound", size, [size]),
        ("ZSTD_compress2", size, [pointer, pointer, size, ctypes.c_char_p, size]),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def _checked(lib: Any, result: int) -> int:
    if lib.ZSTD_isError(result):
        raise CommandFailed(f"libzstd cannot pack a patch: {lib.ZSTD_getErrorName(result).decode()}", code=0)
    return int(result)
