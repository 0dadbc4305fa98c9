"""Running other programs: output to a log file, a failure that says what happened, nothing left running.

A child gets its own process group; when it is over, well or badly, Ctrl-C included, nothing of the group is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
        with ExitStack() as ending:
            with signals_held():  # none may come between the start of the child and our knowing it
                child = _start(args, what, out, env, cwd, stdin is not None, hint)
                ending.callback(end_group, child)
            try:
                child.communicate(stdin, timeout=timeout)
            except subprocess.TimeoutExpired:
                where = f" (its output is in {log})" if log else ""
                raise TimedOut(f"{what}: {args[0]} did not end within {timeout:.0f} s{where}", hint=hint) from None
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


def _start(
    args: list[str],
    what: str,
    out: IO[bytes],
    env: Mapping[str, str] | None,
    cwd: Path | None,
    has_input: bool,
    hint: str,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            args,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=None if env is None else {**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as e:
        raise _cannot_start(what, args[0], cwd, e, hint) from None


@contextmanager
def signals_held() -> Iterator[None]:
    """Let the handlers of Ctrl-C, SIGTERM and SIGHUP run after the block instead of in it. Keep the block short."""
    if threading.current_thread() is not threading.main_thread():  # handlers never run in others
        yield
        return
    came: list[int] = []
    handled = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if callable(signal.getsignal(s))]
    before = {s: signal.signal(s, lambda number, _frame: came.append(number)) for s in handled}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
    for number in came:
        signal.raise_signal(number)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and the wish to end us until the block is over, however long: what undoes things is done whole."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _cannot_start(what: str, program: str, cwd: Path | None, error: OSError, hint: str) -> Missing:
    if cwd is not None and not cwd.is_dir():
        return Missing(f"{what}: the folder {cwd} is not there", hint=hint)
    reason = "is not installed" if isinstance(error, FileNotFoundError) else "may not be executed"
    return Missing(f"{what}: {program!r} {reason}", hint=hint or "`make setup` installs what this needs")


def end_group(child: subprocess.Popen[bytes], *, grace: float = 5.0) -> None:
    """End the child and all of its process group: first politely, after `grace` seconds not. Safe when it is over.

    The child must lead its group (`start_new_session`). What outlives a child that ended by itself is ended too.
    """
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, sig)
        except ProcessLookupError:
            break
        if _over(child, grace):
            break
    child.wait(grace)


def _over(child: subprocess.Popen[bytes], grace: float) -> bool:
    """Wait until no process of the child's group runs, at most `grace` seconds. True when none does."""
    end = time.monotonic() + grace
    while time.monotonic() < end:
        child.poll()  # reap it
        if not any(_runs_in(child.pid)):
            return True
        time.sleep(0.01)
    return False


def _runs_in(group: int) -> Iterator[bool]:
    """Whether each process of the group runs. Zombies do not: who made them may reap them late or never."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgrp = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if int(pgrp) == group:
            yield state not in "ZX"
