"""The machine that a server is: what it is called, where it is found, whether it has a member's data, and etcd's unit.

Everything is read anew at each look. What is asked of systemd is one word in a file, which a path unit of the host acts
on (os/mkosi.extra/usr/lib/orlop/etcd-asked).
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orlop.files import write_atomic
from orlop.model.cluster.names import (
    CLUSTER_STATE,
    PEER_PORT,
    STATUS,
    STORE_ASKED,
    STORE_ENVIRONMENT,
    STORE_STATE,
    STORE_TLS,
    STORE_WORDS,
    machine_of,
)

LEAST_ROOM = 64 << 20  # bytes: etcd sets that many aside for its log, and ends when it cannot


@dataclass(frozen=True)
class ServerHost:
    """`top` is where the machine's /run, /etc and /var are."""

    top: Path = Path("/")

    def path(self, place: str) -> Path:
        return self.top / place.lstrip("/")

    @property
    def state(self) -> Path:
        return self.path(CLUSTER_STATE)

    @property
    def tls(self) -> Path:
        return self.path(STORE_TLS)

    def machine(self) -> str:
        return machine_of(self.path("/etc/machine-id").read_text())

    def name(self) -> str:
        return socket.gethostname()

    def has_data(self) -> bool:
        return self.path(f"{STORE_STATE}/member").exists()

    def disk_trouble(self) -> str:
        """That the disk of its member has no room left for it, in words; "" when it has."""
        place = self.path(STORE_STATE)
        try:
            free = shutil.disk_usage(place if place.exists() else self.path("/var")).free
        except OSError as e:
            return f"its /var cannot be looked at: {e.strerror}"
        return f"/var has {free / 1e6:.0f} MB free, too few for its member" if free < LEAST_ROOM else ""

    def is_asked(self) -> bool:
        """Whether the host has yet to do what it was asked last."""
        return self.path(STORE_ASKED).exists()

    def ask(self, word: str) -> None:
        assert word in STORE_WORDS
        write_atomic(self.path(STORE_ASKED), f"{word}\n", mode=0o640)

    def has_environment(self) -> bool:
        return self.path(STORE_ENVIRONMENT).exists()

    def write_environment(self, settings: Mapping[str, str]) -> None:
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        write_atomic(self.path(STORE_ENVIRONMENT), text, mode=0o640)

    def forget_environment(self) -> None:
        self.path(STORE_ENVIRONMENT).unlink(missing_ok=True)

    def write_status(self, text: str) -> None:
        write_atomic(self.path(STATUS), text, mode=0o644)


def addresses(hosts: Iterable[str]) -> list[str]:
    """Of these hosts, each once; a name that leads nowhere now has none."""
    found: dict[str, None] = {}
    for host in hosts:
        with suppress(OSError, UnicodeError):
            for *_, address in socket.getaddrinfo(host, PEER_PORT, type=socket.SOCK_STREAM):
                found[str(address[0])] = None
    return list(found)


def own_address(servers: Iterable[str]) -> str:
    """The one of these addresses that is this machine's; else the one that leads to them; "" without a network."""
    servers = list(servers)
    for address in servers:
        if _is_own(address):
            return address
    for address in servers:
        with suppress(OSError), socket.socket(_family(address), socket.SOCK_DGRAM) as s:
            s.connect((address, PEER_PORT))  # no packet is sent: the kernel chooses a route, and with it an address
            return str(s.getsockname()[0])
    return ""


def _is_own(address: str) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as s:
            s.bind((address, 0))
    except OSError:
        return False
    return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
