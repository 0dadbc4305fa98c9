"""A command run on a machine, whichever way leads there: a way is a command line, ssh's or one into its namespaces."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from orlop.errors import TimedOut
from orlop.processes import end_group


@dataclass(frozen=True)
class Ran:
    """What a command on a machine did."""

    code: int
    out: str
    err: str


def run(argv: Sequence[str], *, what: str, stdin: bytes = b"", timeout: float) -> Ran:
    """Run a command line that ends when the command there does. `what` is the subject of errors. Raises TimedOut."""
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TimedOut(f"{what} did not end within {timeout:.0f} s") from None
    finally:
        end_group(child)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream:
                stream.close()
    return Ran(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def piped(
    argv: Sequence[str],
    *,
    what: str,
    file: BinaryIO,
    is_read: bool,
    seen: Callable[[int], None] = lambda _: None,
    silence: float = 60.0,
    poll: float = 0.2,
) -> Ran:
    """As `run`, with a file of this computer as the command's input (`is_read`) or its output, however large it is.

    `seen` is told how many bytes of it went over, and when none do for `silence` seconds it is over. Raises TimedOut.
    """
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            argv,
            stdin=file if is_read else subprocess.DEVNULL,
            stdout=said if is_read else file,
            stderr=said,
            start_new_session=True,
        )
        at, since = -1, time.monotonic()
        try:
            while child.poll() is None:
                # the child has the same open file, so its position is where the child is
                if (now := os.lseek(file.fileno(), 0, os.SEEK_CUR)) != at:
                    at, since = now, time.monotonic()
                    seen(at)
                if time.monotonic() - since > silence:
                    raise TimedOut(f"{what} did not go on for {silence:.0f} s")
                time.sleep(poll)
        finally:
            end_group(child)
        said.seek(0)
        text = said.read().decode(errors="replace")
    return Ran(child.returncode, text if is_read else "", text)
