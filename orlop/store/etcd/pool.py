"""Connections to the members of an etcd: HTTP/1.1 as thin as it goes, bounded everywhere.

    Pool.call   one request and its answer, on a connection of the pool; to another member when this one is silent
    Pool.stream one request whose answer does not end, on a connection of its own

Why our own: measured beside aiohttp and httpx it takes a third and a thirtieth of their processor time, and speaks to
one server, whose answers have a length or are chunked. Lifetime: one event loop's; who made it closes it.

Invariants: never more than `size` calls on their way; others wait *before* they connect, so that a store that is slow
does not get a storm of new connections on top (one was seen never to come back from that). Each try has a limit that is
far shorter than etcd's own: a follower whose leader has just died holds a request for more than five seconds.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orlop.errors import BadInput
from orlop.store.etcd.wire import Json
from orlop.store.protocol import Unavailable

SIZE = 16
CONNECT_SECONDS = 1.0
MAX_ANSWER = 64 << 20  # a page of 500 values of 64 KiB, in base64, and some room
LINE = 1 << 16
_PAUSE = 0.05  # seconds before the same members are tried again
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class EtcdAnswer:
    status: int
    body: Any

    @property
    def code(self) -> int:
        """gRPC's code of an error; 0 when there is none."""
        return int(self.body.get("code") or 0) if isinstance(self.body, dict) and self.status != 200 else 0

    @property
    def message(self) -> str:
        return str(self.body.get("message") or "") if isinstance(self.body, dict) else ""


class NotReached(Unavailable):
    """No member answered. With `again=False`, none was sent the request either."""


class Broken(Exception):
    """The other end is gone, silent, or not an etcd. `sent`: the request may have arrived."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True)
class EtcdAddress:
    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> EtcdAddress:
        """`https://HOST:PORT`. Raises BadInput."""
        try:
            parts = urlsplit(url)
            port = parts.port or 2379
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise BadInput(f"{url!r} is not a valid address of etcd", hint="it is https://HOST:PORT")
        return cls(parts.hostname, port, parts.scheme == "https")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _Connection:
    def __init__(self, endpoint: EtcdAddress, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.endpoint, self._reader, self._writer = endpoint, reader, writer

    @classmethod
    async def open(cls, endpoint: EtcdAddress, context: ssl.SSLContext | None) -> _Connection:
        reader, writer = await asyncio.open_connection(
            endpoint.host, endpoint.port, ssl=context if endpoint.tls else None, limit=LINE
        )
        made: socket.socket = writer.get_extra_info("socket")
        # a link that is cut says nothing: probes end the connection after some seven seconds
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in ((socket.TCP_KEEPIDLE, 3), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 2)):
            made.setsockopt(socket.IPPROTO_TCP, option, seconds)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(endpoint, reader, writer)

    @property
    def usable(self) -> bool:
        """Nothing has been said since the last answer: a server that closes a kept connection says so by an end."""
        return not self._writer.is_closing() and not self._reader.at_eof()

    def close(self) -> None:
        # aborted, not closed: closing waits for the other end to say goodbye, which may be what is missing
        self._writer.transport.abort()

    async def send(self, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: {self.endpoint}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        words = (await self._reader.readuntil(b"\r\n")).split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Broken("it does not speak HTTP", sent=True)
        headers: dict[str, str] = {}
        while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(words[1]), headers

    async def chunk(self) -> bytes:
        """Of a body in chunks; empty at its end."""
        size = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size > MAX_ANSWER:
            raise Broken(f"an answer has {size} bytes", sent=True)
        piece = await self._reader.readexactly(size)
        await self._reader.readexactly(2)
        return piece

    async def body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            pieces, size = [], 0
            while piece := await self.chunk():
                pieces.append(piece)
                size += len(piece)
                if size > MAX_ANSWER:
                    raise Broken(f"an answer has more than {MAX_ANSWER} bytes", sent=True)
            return b"".join(pieces)
        length = int(headers.get("content-length") or 0)
        if not 0 <= length <= MAX_ANSWER:
            raise Broken(f"an answer has {length} bytes", sent=True)
        return await self._reader.readexactly(length)


_TROUBLE = (OSError, EOFError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class Pool:
    """`context` speaks for us to members that are asked by https."""

    def __init__(self, urls: Sequence[str], context: ssl.SSLContext | None = None, *, size: int = SIZE) -> None:
        if not urls:
            raise BadInput("no address of etcd was given")
        self._endpoints = deque(EtcdAddress.parse(url) for url in urls)  # the first is the one that is asked
        self._context = context
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(size)

    def use(self, context: ssl.SSLContext) -> None:
        """Speak for us by this from the next connection on: a certificate was renewed."""
        self._context = context

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def call(self, path: str, message: Json, *, each: float, within: float, again: bool = True) -> EtcdAnswer:
        """The answer of the first member that gives one. `each` try may take that many seconds, all `within` so many.

        Without `again` a request that may have arrived is not sent once more: `Broken` says so. Raises NotReached.
        """
        loop, body = asyncio.get_running_loop(), json.dumps(message).encode()
        until, pause, why = loop.time() + within, _PAUSE, "too many ask it at once"
        while (left := until - loop.time()) > 0:
            for _ in range(len(self._endpoints)):
                try:
                    async with self._place(left):
                        return await self._once(path, body, min(each, max(until - loop.time(), 0.01)))
                except TimeoutError:
                    break  # too many were before it; nothing was asked, so nothing is known of the member
                except Broken as e:
                    why = str(e)
                    self._endpoints.rotate(-1)
                    if e.sent and not again:
                        raise
                left = until - loop.time()
            await asyncio.sleep(min(pause, max(0.0, left)))
            pause = min(pause * 2, _LONGEST_PAUSE)
        names = ", ".join(str(endpoint) for endpoint in self._endpoints)
        raise NotReached(
            f"etcd does not answer: {names}: {why}", hint="orlop cluster status shows which members are there"
        )

    @asynccontextmanager
    async def _place(self, seconds: float) -> AsyncIterator[None]:
        """One of the `size` places. Raises TimeoutError when none is free in time."""
        async with asyncio.timeout(seconds):
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()

    async def _once(self, path: str, body: bytes, seconds: float) -> EtcdAnswer:
        """One try, on one connection. Raises Broken."""
        connection: _Connection | None = None
        whole, sent = False, False
        try:
            async with asyncio.timeout(seconds):
                connection = self._kept() or await _Connection.open(self._endpoints[0], self._context)
                sent = True
                await connection.send(path, body)
                status, headers = await connection.head()
                answer = EtcdAnswer(status, _json(await connection.body(headers)))
                whole = headers.get("connection") != "close"
                return answer
        except TimeoutError:
            raise Broken(f"{self._endpoints[0]} has not answered within {seconds:.1f} s", sent=sent) from None
        except _TROUBLE as e:
            raise Broken(f"{self._endpoints[0]}: {_said(e)}", sent=sent) from None
        finally:
            if connection is not None:
                if whole:
                    self._idle.append(connection)
                else:
                    connection.close()

    def _kept(self) -> _Connection | None:
        """A connection to the member that is asked now; those to others, and those that ended, are closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.endpoint == self._endpoints[0] and connection.usable:
                return connection
            connection.close()
        return None

    @asynccontextmanager
    async def stream(self, path: str, message: Json, *, silence: float) -> AsyncIterator[AsyncIterator[Any]]:
        """The messages of an answer that does not end. `silence` is how many seconds may pass between two.

        Raises Broken, also while it is iterated; the next stream goes to the next member then.
        """
        connection: _Connection | None = None
        endpoint = self._endpoints[0]
        try:
            async with asyncio.timeout(CONNECT_SECONDS + silence):
                connection = await _Connection.open(endpoint, self._context)
                await connection.send(path, json.dumps(message).encode())
                status, headers = await connection.head()
            if status != 200 or headers.get("transfer-encoding") != "chunked":
                raise Broken(f"{endpoint} answers {status}", sent=True)
            yield _messages(connection, silence)
        except TimeoutError:
            self._leave(endpoint)
            raise Broken(f"{endpoint} has been silent for {silence:.0f} s", sent=True) from None
        except Broken:
            self._leave(endpoint)
            raise
        except _TROUBLE as e:
            self._leave(endpoint)
            raise Broken(f"{endpoint}: {_said(e)}", sent=True) from None
        finally:
            if connection is not None:
                connection.close()

    def _leave(self, endpoint: EtcdAddress) -> None:
        """Ask another member from now on, unless somebody has seen to that already."""
        if self._endpoints[0] == endpoint:
            self._endpoints.rotate(-1)


async def _messages(connection: _Connection, silence: float) -> AsyncIterator[Any]:
    """One JSON message a line; a chunk may hold several, or a part of one."""
    rest = b""
    while True:
        async with asyncio.timeout(silence):
            piece = await connection.chunk()
        if not piece:
            raise Broken(f"{connection.endpoint} ended the stream", sent=True)
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_ANSWER:
            raise Broken(f"{connection.endpoint} sends a message without an end", sent=True)
        for line in lines:
            if line:
                yield _json(line)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise Broken("it does not answer in JSON", sent=True) from None


def _said(e: BaseException) -> str:
    with suppress(AttributeError):
        if isinstance(e, ssl.SSLError):
            return f"TLS: {e.reason or e}"
    return (e.strerror if isinstance(e, OSError) and e.strerror else str(e)) or type(e).__name__
