"""Running other programs: output to a log file, a failure that says what happened, nothing left running.

A child gets its own process group; on any exception, Ctrl-C included, the whole group is ended before the
exception goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from orlop.errors import CommandFailed, Missing, TimedOut

TAIL_LINES = 25


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    stdin: bytes | None = None,
    hint: str = "",
) -> str:
    """Run to the end and return what it printed (stdout and stderr together).

    `what` names the deed for the error ("making the SDK tree"); `timeout` is in seconds; the output is also kept in
    `log`. Raises CommandFailed, Missing (no such program) or TimedOut.
    """
    args = [os.fspath(a) for a in argv]
    with _output(log) as out:
        try:
            child = subprocess.Popen(
                args,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd,
                start_new_session=True,
            )
        except FileNotFoundError as e:
            raise Missing(f"{what}: {e.filename!r} is not installed", hint=hint or "`make setup` installs it") from None
        try:
            child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{what}: {args[0]} did not end within {timeout:.0f} s", hint=hint) from None
        finally:
            end_group(child)
        out.seek(0)
        text = out.read().decode(errors="replace")
    if child.returncode != 0:
        tail = "\n".join(text.splitlines()[-TAIL_LINES:])
        where = f" (all of it in {log})" if log else ""
        raise CommandFailed(
            f"{what} failed: {Path(args[0]).name} ended with {child.returncode}{where}",
            code=child.returncode,
            tail=tail,
            hint=hint,
        )
    return text


def _output(log: Path | None) -> IO[bytes]:
    if log is None:
        return tempfile.TemporaryFile()
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("w+b")


def end_group(child: subprocess.Popen[bytes], *, grace: float = 5.0) -> None:
    """End the child and all of its process group: first politely, after `grace` seconds not. Safe when it is over."""
    if child.poll() is not None:
        return
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sig)
        except ProcessLookupError:
            break
        try:
            child.wait(grace)
            break
        except subprocess.TimeoutExpired:
            continue
