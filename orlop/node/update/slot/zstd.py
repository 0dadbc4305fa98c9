"""Unpack the frames of a patch, with the system's libzstd.

A frame is unpacked against a piece of the part that runs, as `zstd --patch-from` does it. Only a frame whose hash is
the index's gets here, and how large everything may be is in the index too: memory is bounded before a byte is unpacked.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from orlop.errors import Missing
from orlop.node.update.slot.verity import Damaged

LIBRARY = "libzstd.so.1"
_MAX_WINDOW = 24  # log2 of bytes: a frame and what it refers to are 8 MiB each at most
_D_WINDOW_LOG_MAX = 100


@functools.cache
def library() -> Any:
    """The loaded library, its functions typed. Raises Missing."""
    try:
        lib = ctypes.CDLL(LIBRARY)
    except OSError:
        raise Missing(f"{LIBRARY} is not on this system", hint="updates go on without patches") from None
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    for name, result, arguments in (
        ("ZSTD_createDCtx", pointer, []),
        ("ZSTD_freeDCtx", size, [pointer]),
        ("ZSTD_DCtx_setParameter", size, [pointer, ctypes.c_int, ctypes.c_int]),
        ("ZSTD_DCtx_refPrefix", size, [pointer, pointer, size]),
        ("ZSTD_decompressDCtx", size, [pointer, pointer, size, pointer, size]),
        ("ZSTD_isError", ctypes.c_uint, [size]),
        ("ZSTD_getErrorName", ctypes.c_char_p, [size]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def unpack(frame: bytes, old: bytes | bytearray, size: int) -> bytes:
    """The `size` bytes that the frame and the old bytes make. Raises Damaged when they make something else."""
    lib = library()
    context = lib.ZSTD_createDCtx()
    if not context:
        raise MemoryError
    try:
        out = bytearray(size)
        before = (ctypes.c_char * len(old)).from_buffer_copy(old)
        after = (ctypes.c_char * size).from_buffer(out)
        _checked(lib, lib.ZSTD_DCtx_setParameter(context, _D_WINDOW_LOG_MAX, _MAX_WINDOW))
        _checked(lib, lib.ZSTD_DCtx_refPrefix(context, before, len(old)))
        length = _checked(lib, lib.ZSTD_decompressDCtx(context, after, size, frame, len(frame)))
    finally:
        lib.ZSTD_freeDCtx(context)
    if length != size:
        raise Damaged(f"a patch's frame unpacks to {length} bytes instead of {size}")
    del after
    return bytes(out)


def _checked(lib: Any, result: int) -> int:
    if lib.ZSTD_isError(result):
        raise Damaged(f"a patch's frame does not unpack: {lib.ZSTD_getErrorName(result).decode()}")
    return int(result)
