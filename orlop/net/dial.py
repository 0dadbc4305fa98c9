"""A connection to a server that may be silent, drip, or have addresses where nobody is: every wait is bounded.

A `Patience` bounds one exchange: so many seconds for all of it, whatever the server does, and less for any one silence.
Before each wait it says that it waits, in the thread that does, so a watchdog that hears it knows of the waiting and
still notices a thread that hangs.
"""

from __future__ import annotations

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orlop.net.route import Route

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

ADDRESS_SECONDS = 10.0  # for one of a host's addresses to answer at all
SILENCE_SECONDS = 30.0  # in which a server that is there sends something
ALIVE_SECONDS = 1.0  # between two signs of life, when the waits are short
# after a second of silence, then each second, twice; what was sent and is not acknowledged counts the same
PROBES = ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2), (socket.TCP_USER_TIMEOUT, 3000))


class Patience:
    """`seconds` of None is no limit for the whole: then `silence` alone counts. `probes`: the kernel asks the other end
    whether it is still there, and after three seconds without an answer the connection ends.
    """

    def __init__(
        self,
        seconds: float | None,
        silence: float = SILENCE_SECONDS,
        *,
        alive: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        probes: bool = False,
    ) -> None:
        self._silence, self._alive, self._clock = silence, alive, clock
        self.probes = probes
        self._told_at = -ALIVE_SECONDS
        self.begin(seconds)

    def begin(self, seconds: float | None) -> None:
        """Another exchange, or the next part of it."""
        self._seconds, self._began = seconds, self._clock()

    def wait(self) -> float:
        """How many seconds may be waited now. Raises TimeoutError when the time is over."""
        now = self._clock()
        if abs(now - self._told_at) >= ALIVE_SECONDS:
            self._alive()
            self._told_at = now
        if self._seconds is None:
            return self._silence
        left = self._began + self._seconds - now
        if left <= 0:
            raise TimeoutError(f"it took longer than {self._seconds:.0f} s")
        return min(left, self._silence)


def dial(host: str, port: int, patience: Patience) -> socket.socket:
    """To the first of the host's addresses that answers; one that does not leaves time for others. Raises OSError."""
    addresses = _addresses(host, port, patience)
    error = OSError(f"{host} has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        share = patience.wait() / (len(addresses) - tried + 1)
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as e:  # a kind of address that this machine does not speak
            error = e
            continue
        try:
            sock.settimeout(min(share, ADDRESS_SECONDS))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if patience.probes:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in PROBES:
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
        except OSError as e:
            sock.close()
            error = e
        else:
            return sock
    raise error


def _addresses(host: str, port: int, patience: Patience) -> list[Any]:
    """Asked for in a thread of its own: a resolver has its own patience, which may be minutes."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as e:  # ValueError: what is no name at all
            answers.put(e)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=patience.wait())
    except queue.Empty:
        raise TimeoutError(f"nobody says where {host} is") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class Connection(http.client.HTTPConnection):
    """To where a route leads, proxy and TLS included. Like its base it connects when it is used, and again later."""

    def __init__(self, way: Route, patience: Patience, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        through = way.proxy or way.url
        super().__init__(through.hostname or "", through.port or (443 if through.scheme == "https" else 80))
        self._way, self._patience = way, patience
        if way.url.scheme == "https":
            self.default_port = 443
            if way.proxy:
                self.set_tunnel(way.url.hostname or "", way.url.port or 443, way.proxy_login)

    def connect(self) -> None:
        sock = dial(self.host, self.port, self._patience)
        self.sock = _Bounded(sock, self._patience)
        if self._way.url.scheme != "https":
            return
        if self._way.proxy:
            self._tunnel()  # type: ignore[attr-defined]
        context = self._context or ssl.create_default_context()
        sock.settimeout(self._patience.wait())
        secure = context.wrap_socket(sock, server_hostname=self._way.url.hostname)
        self.sock = _Bounded(secure, self._patience)


class _Bounded:
    """What `http.client` needs of a socket, each wait bounded."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock, self._patience = sock, patience

    def sendall(self, data: ReadableBuffer) -> None:
        self._sock.settimeout(self._patience.wait())
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        return io.BufferedReader(_Reader(self._sock, self._patience))

    def close(self) -> None:
        self._sock.close()


class _Reader(io.RawIOBase):
    """Keeps the socket open until it is closed itself, as a socket's own file does."""

    def __init__(self, sock: socket.socket, patience: Patience) -> None:
        self._sock, self._patience, self._file = sock, patience, sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        self._sock.settimeout(self._patience.wait())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def said(error: Exception) -> str:
    """What went wrong in an exchange, in a few words on one line: a server may have chosen them."""
    if "timed out" in str(error):
        return "nothing came in time"
    words = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in words[:200])
