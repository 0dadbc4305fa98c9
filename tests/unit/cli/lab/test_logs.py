"""`orlop lab logs`: a console as lines, however it was written and wherever it is cut."""

from __future__ import annotations

import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from orlop.cli.lab import logs
from orlop.machines.console import plain

CONSOLE = b"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading Boot0001\r\n\x1b[0mLinux 6\xff\r\n\xe2\x9c\x93 good\r\nlast"


class Dribble(io.BytesIO):
    """Gives `most` bytes at a time."""

    most = 1

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(self.most, self.most if size is None or size < 0 else size))


@given(most=st.integers(1, len(CONSOLE) + 1))
def test_no_piece_tears_a_sequence(most: int) -> None:
    file = Dribble(CONSOLE)
    file.most = most
    pieces = list(logs._pieces(file, Path("/nowhere"), follow=False))
    assert b"".join(pieces) == CONSOLE
    shown = "".join(plain(piece.decode(errors="replace")) for piece in pieces)
    assert shown == plain(CONSOLE.decode(errors="replace"))
    assert "\x1b" not in shown
