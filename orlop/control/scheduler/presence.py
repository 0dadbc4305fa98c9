"""Which machines are connected to this server: in the store for as long as they are, with this server's lease.

    a machine's stream opens   → presence/MACHINE, on the lease
    it ends, without a word    → gone at once: nobody answered for the time that the connection's probes took
    it ends, closed            → gone a little later: the machine itself is there, its agent may be starting again
    this server ends           → its lease ends, and all of them with it, unless they went to another server meanwhile

Why the kernel's probes and not messages: a thousand machines that say every two seconds that they are there cost half a
processor, and the kernel's say the same for nothing. Invariant: a key of another server, or of a newer stream, is never
removed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from orlop.model.cluster.names import PRESENCE
from orlop.store.protocol import Conflict, Delete, Expect, Lease, LeaseLost, Put, Store, StoreError, Unavailable

LEASE_SECONDS = 4
KEEP_SECONDS = 1.0
CLOSED_SECONDS = 4.0  # how long an agent may take to start again
# probes of a silent connection: after two seconds, then each second, three times; what was sent counts the same
PROBES = ((socket.TCP_KEEPIDLE, 2), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3), (socket.TCP_USER_TIMEOUT, 4000))
_BATCH = 100
log = logging.getLogger("orlop.control")


@dataclass(eq=False)
class MachineStream:
    """One connection of a machine: the last one counts."""

    machine: str


class Presence:
    """Lifetime: the server's; `run` is a task of its own. `closed`: seconds, CLOSED_SECONDS."""

    def __init__(self, store: Store, server: str, *, closed: float = CLOSED_SECONDS) -> None:
        self._store, self._server, self._closed = store, server, closed
        self._here: dict[str, MachineStream] = {}
        self._lease: Lease | None = None
        self._todo: set[str] = set()
        self._wake = asyncio.Event()

    @contextmanager
    def connected(self, machine: str, peer: dict[str, Any]) -> Iterator[None]:
        """The machine is, for as long as this lasts. `peer`: what the connection's protocol knows of it."""
        stream = MachineStream(machine)
        if (probed := peer.get("socket")) is not None:
            with suppress(OSError):
                for option, value in PROBES:
                    probed.setsockopt(socket.IPPROTO_TCP, option, value)
        self._here[machine] = stream
        self._look(machine)
        try:
            yield
        finally:
            silent = any(isinstance(e, OSError) and not isinstance(e, ConnectionError) for e in peer.get("ended") or ())
            asyncio.get_running_loop().call_later(0.0 if silent else self._closed, self._ended, stream)

    def _ended(self, stream: MachineStream) -> None:
        if self._here.get(stream.machine) is stream:
            del self._here[stream.machine]
            self._look(stream.machine)

    def _look(self, machine: str) -> None:
        self._todo.add(machine)
        self._wake.set()

    async def run(self) -> None:
        """For ever: keep the lease, and the keys as they should be."""
        kept = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                if self._lease is None:
                    self._lease = await self._store.grant(LEASE_SECONDS)
                    self._todo |= self._here.keys()
                elif loop.time() >= kept + KEEP_SECONDS:
                    await self._store.keep(self._lease)
                    kept = loop.time()
                await self._write()
            except LeaseLost:
                self._lease = None
                continue
            except Unavailable:
                await asyncio.sleep(KEEP_SECONDS)
                continue
            except StoreError as e:
                log.warning("which machines are connected was not noted: %s", e.message)
                await asyncio.sleep(KEEP_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, kept + KEEP_SECONDS - loop.time())):
                    await self._wake.wait()

    async def _write(self) -> None:
        self._wake.clear()
        assert self._lease is not None
        while self._todo:
            some = [self._todo.pop() for _ in range(min(_BATCH, len(self._todo)))]
            try:
                came = [machine for machine in some if machine in self._here]
                if came:
                    await self._store.commit([Put(PRESENCE + m, self._value(m), self._lease.id) for m in came])
                for machine in set(some) - set(came):
                    await self._remove(machine)
            except StoreError:
                self._todo |= set(some)
                raise

    async def _remove(self, machine: str) -> None:
        entry = await self._store.get(PRESENCE + machine)
        if entry is not None and json.loads(entry.value).get("server") == self._server:
            with suppress(Conflict):  # it came back, here or elsewhere
                await self._store.commit([Delete(entry.key)], [Expect(entry.key, entry.modified)])

    def _value(self, machine: str) -> bytes:
        return json.dumps({"server": self._server, "stream": id(self._here[machine])}).encode()
