"""The API on a port: uvicorn with mutual TLS, certificates that change while it runs, streams that end in time.

Traps (measured): asyncio gives each TLS connection a buffer of 256 KiB, and one that says nothing a minute for its
handshake; `load_cert_chain` on a live context breaks it when the two files are of different pairs for a moment, and a
CA can only be added to one; uvicorn waits for streams to end before it ends.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio import constants, sslproto
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from orlop.control.connections import HEAD_SECONDS, CountedListener, PeerProtocol
from orlop.errors import BadInput

TLS_BUFFER = 2048  # bytes a connection; asyncio's own is 256 KiB. What is larger comes in several reads
SEND_BUFFER = 64 << 10  # bytes that the kernel takes for one that does not read; by itself it grows to 4 MB
BACKLOG = 4096  # a thousand machines come back at once when a server starts
GRACE_SECONDS = 3
KEEP_ALIVE_SECONDS = 75


@dataclass
class Certificates:
    """What a server shows and whom it trusts: PEM files that somebody else renews.

    `context` is what the listener was made with; each handshake gets the newest that could be loaded whole, by its
    name callback, which is called also when the client names no server.
    """

    certificate: Path
    key: Path
    ca: Path
    context: ssl.SSLContext = field(init=False)
    _newest: ssl.SSLContext = field(init=False)
    _seen: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self._bytes()
        self.context = self._newest = self._load()

    def reload(self) -> bool:
        """Take what the files hold now, if they are other ones and go together; whether they were taken."""
        try:
            now = self._bytes()
            if now == self._seen:
                return False
            self._newest = self._load()
        except (BadInput, OSError):
            return False  # the moment between two renames; the next look finds both
        self._seen = now
        return True

    def _bytes(self) -> tuple[bytes, ...]:
        return tuple(path.read_bytes() for path in (self.certificate, self.key, self.ca))

    def _load(self) -> ssl.SSLContext:
        """Raises BadInput when the files do not go together."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["http/1.1"])
        context.verify_mode = ssl.CERT_OPTIONAL  # people come with tokens; routes ask for more
        try:
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.ca)
        except ssl.SSLError as e:
            raise BadInput(f"{self.certificate} and {self.key} do not go together: {e.reason}") from None
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest


class ControlServer(uvicorn.Server):
    """Ends streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, bye: Callable[[], None]) -> None:
        super().__init__(config)
        self._bye = bye
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._bye)
        super().handle_exit(sig, frame)

    def end(self) -> None:
        """As a signal does, from within."""
        self._bye()
        self.should_exit = True


def listening(host: str, port: int) -> CountedListener:
    """A socket whose connections are counted, and inherit its bounds. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = CountedListener(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        for option, value in ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
            made.setsockopt(socket.IPPROTO_TCP, option, value)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.bind((host, port))
        made.listen(BACKLOG)  # so that who comes early waits, and is not refused
    except OSError:
        made.close()
        raise
    return made


def server(app: ASGIApp, certificates: Certificates, bye: Callable[[], None]) -> ControlServer:
    """Ready to `serve(sockets=[…])`."""
    sslproto.SSLProtocol.max_size = TLS_BUFFER
    constants.SSL_HANDSHAKE_TIMEOUT = HEAD_SECONDS  # read when a connection is made; uvicorn has no option for it
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        ssl_context_factory=lambda _config, _default: certificates.context,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # else anybody on this machine says where a request came from
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=16_384,
    )
    return ControlServer(config, bye)
