"""Standard input, output and error as a command can count on them, however it was started.

Why: a shell can close each of the three (`<&-`), and the first file that is opened then gets its number, so that what
is printed lands in that file. And a terminal, or a locale, may lack the characters we print.

Invariant, from `prepare` on: the three are open; one that had been closed fails when it is used, and not before;
nothing that is printed fails for the characters in it.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress

from orlop.errors import OrlopError

_INSTEAD = {
    "‣": ">", "✓": "+", "✗": "x", "→": "->", "…": "...", "×": "x", "–": "-", "—": "-", "─": "-", "│": "|", "·": "-"
}  # fmt: skip
_SAID = {0: "standard input", 1: "standard output", 2: "standard error"}


class StreamFailed(OrlopError):
    """Standard input cannot be read, or standard output cannot be written."""


def prepare() -> None:
    """Call first, once in a process."""
    codecs.register_error("orlop", _without)
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        _open(number, flags)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="orlop")


def _open(number: int, flags: int) -> None:
    """Open what was closed, so that reading input fails, and writing output: the loss of either is to be noticed. What
    is said on standard error is lost, as whoever closed it wants.
    """
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != number:  # one below it is closed too
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)
        mode, name = ("r", "stdin") if number == 0 else ("w", ("stdout", "stderr")[number - 1])
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays open


def _without(error: UnicodeError) -> tuple[str | bytes, int]:
    """What is printed in place of characters that the output lacks: something like it, or its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(
        _INSTEAD.get(c, c.encode("ascii", "backslashreplace").decode()) for c in error.object[error.start : error.end]
    )
    return text, error.end


def flush() -> None:
    """Have all that was printed written. Raises StreamFailed; Python's own end would say it in a way of its own."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up()
        raise
    except OSError as e:
        _give_up()
        raise StreamFailed(
            f"standard output cannot be written: {e.strerror}", hint="nothing else was affected"
        ) from None
    with suppress(OSError):
        sys.stderr.flush()


def _give_up() -> None:
    """Let what is still to be printed go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
