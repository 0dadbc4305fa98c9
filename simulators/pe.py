"""The sections of an EFI program, which is what a UKI is made of."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def sections(program: bytes) -> Iterator[tuple[str, bytes]]:
    """(name without its dot, content) of each. Raises ValueError when it is no program.

    Source: Microsoft's PE format specification: the offset of the PE header at 0x3c, the number of sections and the
    size of the optional header in it, then forty bytes a section.
    """
    try:
        (pe,) = struct.unpack_from("<I", program, 0x3C)
        count, optional = struct.unpack_from("<6xH12xH", program, pe)
        if program[pe : pe + 4] != b"PE\0\0":
            raise ValueError("it has no PE header")
        for n in range(count):
            name, used, _, stored, at = struct.unpack_from("<8sIIII", program, pe + 24 + optional + 40 * n)
            yield name.rstrip(b"\0").decode().removeprefix("."), program[at : at + min(used, stored)]
    except struct.error as e:
        raise ValueError(f"it is cut off: {e}") from None
