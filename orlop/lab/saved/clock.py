"""The clocks of machines that stood still: set over SSH, before anybody else's command runs there.

A machine that is stopped, or restored a week later, goes on with the time it had. Its hardware clock is this computer's
and right by itself; the system's is told the time to the millisecond, once the connection stands: making one takes a
second on an emulated machine, and what was said before that would be late by it.
"""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Sequence

from orlop.errors import OrlopError, TimedOut
from orlop.lab.machine import Node
from orlop.processes import end_group

_ASK = 'echo ready; read -r now && date -u -s "@$now" > /dev/null && echo set'
_TRY_SECONDS = 30.0
_AGAIN_SECONDS = 0.3


def put_right(nodes: Sequence[Node], *, timeout: float, clock: Callable[[], float] = time.time) -> None:
    """Set each machine's clock; by then each has run a command. All are asked at once. Raises TimedOut."""
    until = time.monotonic() + timeout
    waiting = list(nodes)
    while waiting:
        asked = [(node, _ask(node)) for node in waiting]
        try:
            waiting = [node for node, child in asked if not (child and _set(child, until, clock))]
        finally:
            for _, child in asked:
                if child:
                    _end(child)
        if waiting and time.monotonic() > until:
            raise TimedOut(
                f"no command reached {waiting[0].name} within {timeout:.0f} s",
                hint=f"its console is kept in {waiting[0].at.console_log}",
            )
        if waiting:
            time.sleep(_AGAIN_SECONDS)


def _ask(node: Node) -> subprocess.Popen[bytes] | None:
    try:
        argv = node.argv(["sh", "-c", _ASK])
    except OrlopError:  # it went off meanwhile, which the time limit will tell
        return None
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _set(child: subprocess.Popen[bytes], until: float, clock: Callable[[], float]) -> bool:
    if _line(child, until) != b"ready\n":
        return False
    assert child.stdin is not None
    try:
        child.stdin.write(f"{clock():.3f}\n".encode())
        child.stdin.flush()
    except OSError:
        return False
    return _line(child, until) == b"set\n"


def _line(child: subprocess.Popen[bytes], until: float) -> bytes:
    """The next line it says; "" when none comes in time."""
    assert child.stdout is not None
    left = min(_TRY_SECONDS, max(0.0, until - time.monotonic()))
    return child.stdout.readline() if select.select([child.stdout], [], [], left)[0] else b""


def _end(child: subprocess.Popen[bytes]) -> None:
    end_group(child)
    for stream in (child.stdin, child.stdout):
        if stream:
            stream.close()
