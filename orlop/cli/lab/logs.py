"""`orlop lab logs`: what a machine wrote to its serial console, as lines.

Why not as it is: firmware and boot loader clear the screen and move the cursor, also on the reader's terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from orlop.cli.lab.name import Name, open_lab
from orlop.errors import Missing
from orlop.machines.console import plain

_CHUNK = 1 << 16
_LOOK_SECONDS = 0.2


def logs(
    node: Annotated[str, typer.Argument(metavar="NODE", help="n1, n2, …")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it is written, until Ctrl-C.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Every byte, with what moves the cursor and clears screens.")
    ] = False,
    name: Name = None,
) -> None:
    """Print a machine's serial console since it was made."""
    path = open_lab(name).node(node).at.console_log
    out = sys.stdout.buffer
    try:
        with _opened(path, node) as f:
            for data in _pieces(f, path, follow=follow):
                out.write(data if raw else plain(data.decode(errors="replace")).encode())
                out.flush()
    except KeyboardInterrupt:
        return


def _opened(path: Path, node: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise Missing(f"{node} has no console yet", hint=f"`orlop lab start {node}` starts it") from None


def _pieces(f: BinaryIO, path: Path, *, follow: bool) -> Iterator[bytes]:
    """What is in the log, in pieces that end where lines do: escape sequences are not torn apart."""
    rest = b""
    while True:
        data = f.read(_CHUNK)
        whole, end, rest = (rest + data).rpartition(b"\n")
        yield whole + end
        if data:
            continue
        if not follow or not path.exists():
            yield rest
            return
        time.sleep(_LOOK_SECONDS)
