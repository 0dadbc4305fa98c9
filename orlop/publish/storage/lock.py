"""The right to change a repository in object storage: an object that is there while somebody changes it.

Lifetime: one `StorageLock` a command. It is written anew as long as its block lasts, so a slow upload keeps it; one
that was not for `STALE` was left behind, and so was one of a process of this computer that is gone. Invariant: nobody
removes or writes over a lock that is not theirs to the best of their knowledge. Not every storage has a compare-and-
swap, so two who take over what was left behind may both believe that they have it: `must_hold` is asked right before
what machines see is written.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from orlop.errors import Busy, OrlopError

LOCK = ".lock"
STALE = timedelta(hours=1)
REFRESH = STALE / 6
TRIES = 3


class Objects(Protocol):
    """What a lock needs of the storage."""

    def create(self, path: str, data: bytes) -> bool:
        """False when the object is there already; also when an answer was lost, and it was this that made it."""
        ...

    def aged(self, path: str) -> tuple[bytes, timedelta] | None:
        """What is in it, and how long ago it was written, by the storage's own clock."""
        ...

    def write(self, path: str, data: bytes) -> None: ...

    def remove(self, path: str) -> None: ...


class StorageLock:
    """The object's text: host, process, which start of which kernel that process belongs to, and a random token."""

    def __init__(self, objects: Objects, refresh: timedelta = REFRESH) -> None:
        self._objects, self._refresh = objects, refresh
        self._mine = f"{socket.gethostname()} {os.getpid()} {_place()} {secrets.token_hex(16)}".encode()

    @contextmanager
    def held(self) -> Iterator[str]:
        """Hold it for the block; gives what is to be told of it, mostly nothing. Raises Busy."""
        told = self._take()
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ended,), daemon=True)
        keeper.start()
        try:
            yield told
        finally:
            ended.set()
            keeper.join()
            with suppress(OrlopError):  # what stays is taken over: this process will be gone
                if self._is_mine():
                    self._objects.remove(LOCK)

    def must_hold(self) -> None:
        """Raise Busy when somebody else has taken it over."""
        if not self._is_mine():
            raise Busy(
                "somebody else has taken the repository's lock over, while this was working",
                hint="machines see nothing of what was done; run the same command again",
            )

    def _take(self) -> str:
        told = who = ""
        for _ in range(TRIES):
            if self._objects.create(LOCK, self._mine):
                return told
            current = self._objects.aged(LOCK)
            if current is None:
                continue  # it was given back just now
            there, age = current
            if there == self._mine:
                return told
            host, pid, place = _read(there)
            who = f" ({host}, process {pid})" if pid else ""
            if pid and place == _place() and _is_gone(pid):
                told = f"took over the lock of process {pid} of this computer, which is gone"
            elif age > STALE:
                told = f"took over a lock that was left behind{who}"
            else:
                break
            self._objects.remove(LOCK)
        raise Busy(
            f"somebody else is changing the repository{who}",
            hint=f"wait for them to end; a lock that was left behind ends after {STALE.seconds // 60} minutes",
        )

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(self._refresh.total_seconds()):
            with suppress(OrlopError):  # the next time, long before it is stale
                if self._is_mine():
                    self._objects.write(LOCK, self._mine)

    def _is_mine(self) -> bool:
        current = self._objects.aged(LOCK)
        return current is not None and current[0] == self._mine


def _place() -> str:
    """Where a process number means one process: this start of the kernel, this namespace of processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.readlink('/proc/self/ns/pid')}"


def _read(raw: bytes) -> tuple[str, int, str]:
    """Host, process and place of a lock's text; process 0 when it says none."""
    words = raw.decode(errors="replace").split()
    if len(words) != 4 or not (words[1].isascii() and words[1].isdigit() and len(words[1]) < 10):
        return "", 0, ""
    return words[0], int(words[1]), words[2]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        pass
    return False
