"""Ports of this computer that lead to a node: parsed, checked, picked.

A port is held by the record of its machine from the moment it is picked, also while that is off: whoever keeps records
says which ports they hold, and sees to it that two do not pick at one time.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from orlop.errors import BadInput, Busy

LOOPBACK = "127.0.0.1"
FIRST, LAST = 22000, 29999  # below the range outgoing connections use
_STRIDE = 40

_FORWARD = re.compile(r"([0-9]{1,5}):([0-9]{1,5})")


@dataclass(frozen=True)
class Forward:
    """TCP `host` on 127.0.0.1 leads to TCP `guest` on the node. `host` 0 means: pick one."""

    host: int
    guest: int

    def __post_init__(self) -> None:
        if not 0 <= self.host <= 65535 or not 1 <= self.guest <= 65535:
            raise BadInput(
                f"{self.host}:{self.guest} is not a pair of ports",
                hint="give HOST:GUEST, each 1 to 65535; HOST 0 picks one",
            )


def parse(text: str) -> Forward:
    """`HOST:GUEST`, both TCP port numbers."""
    m = _FORWARD.fullmatch(text)
    if not m:
        raise BadInput(
            f"--publish {text!r} is not a pair of ports", hint="give HOST:GUEST, for example 8080:80; HOST 0 picks one"
        )
    return Forward(int(m[1]), int(m[2]))


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((LOOPBACK, port))
            s.listen(1)  # a wildcard listener is found only here
        except OSError:
            return False
    return True


def home(key: str) -> int:
    """Where a lab begins to look for ports: labs of two clones, which share no lock, rarely look in one place."""
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
    return FIRST + _STRIDE * (int.from_bytes(digest[:4]) % ((LAST + 1 - FIRST) // _STRIDE))


def pick(taken: Iterable[int], near: int = FIRST) -> int:
    """A free port that no record holds, from `near` upwards and around."""
    held = set(taken)
    for port in chain(range(near, LAST + 1), range(FIRST, near)):
        if port not in held and is_free(port):
            return port
    raise Busy(
        f"no free port from {FIRST} to {LAST}",
        hint="`orlop lab list` shows labs; `orlop lab down --all` frees their ports",
    )


@dataclass
class Chooser:
    """Gives ports that nobody holds, neither a record nor what it gave before: one that is wished for, or any (0)."""

    held: set[int]
    near: int = FIRST

    def __call__(self, wanted: int) -> int:
        """Raises Busy when it cannot be had."""
        port = wanted or pick(self.held, self.near)
        need_free(port, self.held)
        self.held.add(port)
        return port


def need_free(port: int, taken: Iterable[int]) -> None:
    """Raise Busy unless this port can be had."""
    if port in set(taken):
        raise Busy(
            f"port {port} belongs to another lab", hint="choose another port, or bring that lab down: `orlop lab list`"
        )
    if not is_free(port):
        raise Busy(
            f"port {port} on {LOOPBACK} is in use by another program, or may not be used by this user",
            hint=f"choose another port; `ss -ltnp sport = :{port}` shows who listens",
        )
