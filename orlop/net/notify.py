"""What a program of the node tells systemd of itself."""

from __future__ import annotations

import os

from orlop.model.words.line import line

MAX_WORDS = 1000  # characters that systemd is told at a time


def notify(words: str, *, address: str | None = None) -> None:
    """Tell systemd, as sd_notify(3), one of `READY=1`, `STATUS=…`, `WATCHDOG=1`. Without systemd, nothing.

    It is sent as one line, whatever is in it: a second one would be another message.
    """
    import socket  # slow to load where machines are emulated, and not needed to look at a disk

    where = os.environ.get("NOTIFY_SOCKET") if address is None else address
    if not where:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        try:
            to.connect("\0" + where[1:] if where.startswith("@") else where)
            to.send(line(words, MAX_WORDS).encode())
        except OSError:
            return  # who is not there to hear it needs not be told
