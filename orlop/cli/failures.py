"""What ends a command too early, in words: errors a user can act on, an operating system that refuses, and Ctrl-C.

Libraries say what they know better (`orlop.errors`). What none of them foresaw arrives here as an OSError: it names the
path, and its number says what is wrong with it. An OSError without either is a defect, and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from orlop.cli.session import report
from orlop.errors import BadInput, NoSpace, NotAllowed, OrlopError
from orlop.files import FULL, SPACE_HINT

INTERRUPTED = 130

_OWNER = "go on as the user it belongs to (made with sudo? use sudo again)"
_PLACE = "name another place, or mend this one"
# errno: what is wrong with the path, what to do
_REFUSED = {
    errno.EACCES: ("may not be used by this user", _OWNER),
    errno.EPERM: ("may not be changed by this user", _OWNER),
    errno.EROFS: ("is on a read-only file system", "name another place, or make that one writable"),
}
_IN_THE_WAY = {
    errno.ENOTDIR: "cannot be used: it, or something on the way to it, is not a folder",
    errno.EISDIR: "is a folder, where a file belongs",
    errno.EEXIST: "is there already, and is not a folder",
    errno.ENOTEMPTY: "is not empty",
    errno.ELOOP: "cannot be used: its links lead in a circle",
    errno.ENAMETOOLONG: "cannot be used: the name is too long",
    errno.ENOENT: "is not there",
    errno.ENXIO: "cannot be opened: nobody is at its other end",
    errno.ESPIPE: "is not a file that can be read from any place",
    errno.EXDEV: "is on another file system",
    errno.EBUSY: "is in use",
    errno.ETXTBSY: "is a program that runs",
    errno.EFBIG: "would be larger than a file may be here (ulimit -f)",
    errno.EIO: "cannot be read or written: the disk reports an error",
    errno.EINVAL: "cannot be used in this way",
}
_LIMITS = {
    errno.EMFILE: "this process may open no more files (ulimit -n)",
    errno.ENFILE: "this computer has too many files open",
    errno.EAGAIN: "this computer has too many processes",
    errno.ENOMEM: "this computer has no memory left",
}


def in_words(error: OSError) -> OrlopError | None:
    """What to tell a user of it, or None when it is a defect."""
    number, path = error.errno, _path(error)
    if number in FULL:
        return NoSpace(f"no space left on the disk of {path or 'what is written to'}", hint=SPACE_HINT)
    if number in _LIMITS:
        return OrlopError(_LIMITS[number], hint="end something that runs, then try again")
    if not path or number is None:
        return _without_path(number)
    if number in _REFUSED:
        what, hint = _REFUSED[number]
        return NotAllowed(f"{path} {what}", hint=hint)
    if number in _IN_THE_WAY:
        return BadInput(f"{path} {_IN_THE_WAY[number]}", hint=_PLACE)
    return None


def _without_path(number: int | None) -> OrlopError | None:
    """Of what has no path: a standard stream that was closed, and the folder we are in."""
    if number == errno.EBADF:
        return BadInput("standard input or output is needed, and is closed", hint="leave out <&- or >&-")
    if number == errno.ENOENT and not _is_somewhere():
        return BadInput("the folder that this was called in is gone", hint="cd to another one")
    return None


def _is_somewhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd says no more
    except OSError:
        return False
    return True


def _path(error: OSError) -> str:
    name = error.filename if error.filename2 is None else error.filename2  # of two, the one that was to be made
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""


@contextmanager
def said() -> Iterator[None]:
    """Say what ends the block too early, and end the process."""
    try:
        yield
    except OrlopError as e:
        report(e)
        raise typer.Exit(1) from None
    except BrokenPipeError:  # whoever reads our output has had enough of it
        raise
    except OSError as e:
        words = in_words(e)
        if words is None:
            raise
        report(words)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted; nothing half-made was left", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
