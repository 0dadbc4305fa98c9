"""A command run on a machine, whichever way leads there: a way is a command line, ssh's or one into its namespaces."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

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
