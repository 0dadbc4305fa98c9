"""One call of the command, in a forked child: what is closed, encoded or interrupted there, and how it ended."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orlop.cli.app import main

PATIENCE = 60.0  # seconds that a call may take on a busy computer


# what Python says of itself before it changes something (its table of audit events)
STEPS = (
    *("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"),
    *("subprocess.Popen", "fcntl.flock"),
)


@dataclass
class Ended:
    call: list[str]
    code: int
    out: str
    err: str
    seconds: float
    about: str = ""
    after: list[str] = field(default_factory=list)


def child(call: list[str], prepare: Callable[[], None], out: int, err: int) -> None:
    """Never returns."""
    code = 70
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for there, number in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(there, number)
        for number, errors in ((0, "strict"), (1, "strict"), (2, "backslashreplace")):
            stream(number, "utf-8", errors)
        sys.argv = ["orlop", *call]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        prepare()
        try:
            main()
            code = 0
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
        except BaseException:  # noqa: BLE001 - as Python's own end says it
            os.write(2, traceback.format_exc().encode(errors="replace"))
        for printed in (sys.stdout, sys.stderr):  # as Python's own end does
            try:
                printed.flush()
            except OSError as e:
                os.write(err, f"Traceback: the end could not write: {e}\n".encode())
    finally:
        os._exit(code & 0xFF)


def begin(call: list[str], place: Path, name: str, prepare: Callable[[], None] = lambda: None) -> tuple[int, float]:
    out = os.open(place / f"{name}.out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    err = os.open(place / f"{name}.err", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid == 0:
        child(call, prepare, out, err)
    os.close(out)
    os.close(err)
    return pid, time.monotonic()


def end(pid: int, since: float, call: list[str], place: Path, name: str, patience: float = PATIENCE) -> Ended:
    step = 0.001
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > since + patience:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            break
        time.sleep(step)
        step = min(step * 1.5, 0.02)
    took = time.monotonic() - since
    out, err = ((place / f"{name}.{end}").read_bytes().decode(errors="replace") for end in ("out", "err"))
    return Ended(call, os.waitstatus_to_exitcode(status), out, err, took)


def run(call: list[str], place: Path, prepare: Callable[[], None] = lambda: None, patience: float = PATIENCE) -> Ended:
    pid, since = begin(call, place, "call", prepare)
    return end(pid, since, call, place, "call", patience)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def closed(*numbers: int) -> None:
    """As Python starts with closed ones."""
    for number in numbers:
        name = ("stdin", "stdout", "stderr")[number]
        getattr(sys, name).detach()
        setattr(sys, name, None)
        os.close(number)


def stream(number: int, encoding: str, errors: str) -> None:
    """Give standard input, output or error that encoding."""
    name, mode = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))[number]
    opened = open(number, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115 - it stays open
    setattr(sys, name, opened)


def encoded(name: str) -> None:
    stream(1, name, "strict")
    stream(2, name, "backslashreplace")


def is_step(event: str, args: tuple[Any, ...]) -> bool:
    if event == "open":
        path, _, flags = args
        return (
            isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and "/dev/" not in str(path)
        )
    return event in STEPS


def count_steps(where: Path) -> None:
    fd = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.addaudithook(lambda event, args: os.write(fd, b".") and None if is_step(event, args) else None)


def interrupt_at(number: int) -> None:
    left = [number]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if is_step(event, args):
            left[0] -= 1
            if left[0] == -1:
                os.kill(os.getpid(), signal.SIGINT)

    sys.addaudithook(hook)
