"""A person at a node's serial console: this terminal, raw, joined to the console's socket until Ctrl-]."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orlop.errors import Missing

LEAVE = b"\x1d"  # Ctrl-]


def attach(path: Path) -> None:
    """Join stdin and stdout to the console behind the unix socket `path`. Returns on Ctrl-], or when a side ends.

    Raises Missing when no machine listens there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        try:
            s.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise Missing(
                f"no running machine has its console at {path}", hint="`orlop lab status` shows which nodes run"
            ) from None
        with _raw(sys.stdin.fileno()):
            _join(sys.stdin.fileno(), sys.stdout.fileno(), s)


def _join(keys: int, screen: int, console: socket.socket) -> None:
    readers: list[int | socket.socket] = [keys, console]
    while console in readers:
        for ready in select.select(readers, [], [])[0]:
            data = console.recv(65536) if ready is console else os.read(keys, 4096)
            if not data and ready is console:
                return
            if ready is console:
                _write(screen, data)
            elif LEAVE in data:
                console.sendall(data.split(LEAVE)[0])
                return
            elif data:
                console.sendall(data)
            else:
                readers.remove(keys)  # input from a file has ended: keep showing


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Keys go through one by one, Ctrl-C included; a stdin that is no terminal is left alone."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
