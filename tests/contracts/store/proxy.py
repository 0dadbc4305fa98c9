"""A way to a server on which things get lost: answers that never come, or a link that goes dead with all it carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Way:
    """`lose_answers`: so many connections are ended when their server begins to answer. `dead`: nothing passes."""

    port: int
    lose_answers: int = 0
    dead: bool = False
    opened: int = 0
    _pumps: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def between(target: int) -> AsyncIterator[Way]:
    way = Way(0)

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way.opened += 1
        there, back = await asyncio.open_connection("127.0.0.1", target)
        pumps = [asyncio.ensure_future(_pump(way, reader, back, answers=False)),
                 asyncio.ensure_future(_pump(way, there, writer, answers=True))]  # fmt: skip
        way._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for each in (writer, back):
            each.transport.abort()

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
        for pump in way._pumps:
            pump.cancel()
        await asyncio.gather(*way._pumps, return_exceptions=True)


async def _pump(way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            if answers and way.lose_answers:
                way.lose_answers -= 1
                return
            while way.dead:  # noqa: ASYNC110 - a test sets it
                await asyncio.sleep(0.02)
            writer.write(piece)
            await writer.drain()
