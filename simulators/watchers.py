"""People who watch all machines of a cluster, many of them in one process: how soon is each told of a change?

Each has a certificate and a stream of its own, and comes back from an id that it has seen, as one does that was cut
off: so a server does not have to send a thousand whole lists first.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from simulators.agents import SimulatedCa, client_context, streamed

PATH = "/v1/watch/machines"
AT_ONCE = 32  # that connect at a time


@dataclass
class Watchers:
    """`told`: for each change, by its key, when each of those who have heard of it did (time.monotonic())."""

    count: int
    told: dict[str, list[float]] = field(default_factory=dict)
    open: int = 0
    ended: list[str] = field(default_factory=list)

    async def all_told(self, key: str, since: float, seconds: float) -> list[float]:
        """How long after `since` each was told. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.told.get(key, ())) < self.count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return sorted(at - since for at in self.told[key])


@asynccontextmanager
async def watching(host: str, port: int, authority: SimulatedCa, count: int) -> AsyncIterator[Watchers]:
    """When the block begins, all of them have their streams."""
    there, key = Watchers(count), ec.generate_private_key(ec.SECP256R1())

    def context(n: int) -> ssl.SSLContext:
        name = f"watcher-{n}"
        signed = authority.sign(key.public_key(), "orlop:viewer", name, timedelta(hours=1))
        return client_context(authority.certificate, signed, key)

    last = await _last(host, port, context(0))
    room = asyncio.Semaphore(AT_ONCE)

    async def one(n: int) -> None:
        shown = context(n)
        try:
            async with room:
                way = streamed(host, port, shown, PATH, last)
                events = await way.__aenter__()
                there.open += 1
            try:
                async for name, _, data in events:
                    _hear(there, name, data)
            finally:
                await way.__aexit__(None, None, None)
        except (OSError, EOFError, TimeoutError) as e:
            there.ended.append(f"{type(e).__name__}: {e}")

    tasks = [asyncio.ensure_future(one(n)) for n in range(1, count + 1)]
    try:
        async with asyncio.timeout(120):
            while there.open < count:
                assert not there.ended, there.ended[:3]
                await asyncio.sleep(0.02)
        yield there
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _hear(there: Watchers, name: str, data: Any) -> None:
    if name in {"put", "gone"}:
        there.told.setdefault(data["key"], []).append(time.monotonic())


async def _last(host: str, port: int, context: ssl.SSLContext) -> int:
    async with streamed(host, port, context, PATH) as events:
        async for name, ident, _ in events:
            assert name == "state"
            return ident
    raise EOFError("the stream has ended before its first event")
