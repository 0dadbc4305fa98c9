"""`EtcdStore`: the store of a cluster.

Reads are tried again at the next member until one answers. A write whose answer was lost may have happened, so it is
asked for again with the same expectations, and a conflict is then looked at: keys that hold just what we wanted to
write were written by us, or by one who wanted the same; if they hold something else, nobody can say any more whether
ours was there in between.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from orlop.store.etcd import wire
from orlop.store.etcd.pool import Broken, EtcdAnswer, NotReached, Pool
from orlop.store.protocol import (
    PAGE,
    Batch,
    Compacted,
    Expect,
    Lease,
    LeaseLost,
    Put,
    StoreEntry,
    StoreError,
    StoreFull,
    StorePage,
    TooLarge,
    Unavailable,
    Unsettled,
    Write,
    checked,
    conflict,
)

READ_SECONDS = 0.5  # one try; tries decide how soon a cluster is usable after its leader is gone
LEAST_SECONDS, MOST_SECONDS = 0.25, 2.0  # one try of a write: TryTime
WITHIN_SECONDS = 10.0  # all tries
# etcd is started with --experimental-watch-progress-notify-interval=2s, so a watch is never silent for longer
SILENCE_SECONDS = 7.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # before a watch that broke off is begun again
# gRPC's codes, as the gateway tells them
NOT_FOUND, INVALID, OUT_OF_RANGE, RESOURCES, UNAVAILABLE, DEADLINE = 5, 3, 11, 8, 14, 4


_READ = "read what is there now"


class TryTime:
    """How long one try of a write may take: eight times what writes take lately, within bounds, and more with each try.

    Why not a fixed time: after the leader is gone every try that is sent to it, or by way of it, is lost, so each
    second of a try is one without writes; but on a disk that takes half a second for a write, short tries would send
    each again and again, until nothing else is done.
    """

    def __init__(self) -> None:
        self._usual = 0.0

    def took(self, seconds: float) -> None:
        self._usual += (seconds - self._usual) / 8

    def of(self, tries: int) -> float:
        """Of a write that was tried so many times before."""
        return min(max(LEAST_SECONDS, 8 * self._usual) * 1.05**tries, MOST_SECONDS)


class EtcdStore:
    def __init__(
        self,
        urls: Sequence[str],
        context: ssl.SSLContext | None = None,
        *,
        within: float = WITHIN_SECONDS,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._pool = Pool(urls, context)
        self._within, self._silence = within, silence
        self._write = TryTime()

    def use(self, context: ssl.SSLContext) -> None:
        """Show this certificate from the next connection on."""
        self._pool.use(context)

    async def close(self) -> None:
        await self._pool.close()

    async def get(self, key: str) -> StoreEntry | None:
        found = wire.entries(await self._read("/v3/kv/range", wire.range_one(key)))
        return found[0] if found else None

    async def page(self, prefix: str, *, after: str = "", revision: int = 0, limit: int = PAGE) -> StorePage:
        body = await self._read("/v3/kv/range", wire.range_page(prefix, after, revision, limit))
        return StorePage(wire.entries(body), revision or wire.revision(body), more=bool(body.get("more")))

    async def commit(self, writes: Sequence[Write], expect: Sequence[Expect] = (), *, once: bool = False) -> int:
        checked(writes, expect)
        # a second one like it fails when the first one was done: the key has another revision then
        is_guarded = not {write.key for write in writes}.isdisjoint(e.key for e in expect)
        loop, message = asyncio.get_running_loop(), wire.txn(writes, expect)
        until, pause, lost, tries = loop.time() + self._within, FIRST_PAUSE, "", 0
        while True:
            each, began = self._write.of(tries), loop.time()
            tries += 1
            try:
                left = max(until - began, 0.01)
                body = good(await self._pool.call("/v3/kv/txn", message, each=each, within=left, again=False))
                self._write.took(min(loop.time() - began, each))  # not what it waited for its turn
            except Broken as e:
                lost = str(e)
            except Unavailable as e:
                # who says "no leader" or "timed out" may still have passed it on; who was never reached has not
                lost = lost or ("" if isinstance(e, NotReached) else e.message)
                if not lost:
                    raise
            else:
                if body.get("succeeded"):
                    return wire.revision(body)
                if lost:
                    with suppress(Unavailable):
                        if revision := await self._done(writes):
                            return revision
                    # the lost one may have been done, and been written over since
                    raise Unsettled(f"it is not known whether a write arrived: {lost}", hint=_READ)
                present = dict(zip((e.key for e in expect), wire.ranges(body), strict=True))
                now = {key: entry.modified if entry else 0 for key, entry in present.items()}
                raise conflict({e.key: now[e.key] for e in expect if now[e.key] != e.modified})
            if loop.time() + pause > until or (once and not is_guarded):
                raise Unsettled(f"it is not known whether a write arrived: {lost}", hint=_READ)
            await asyncio.sleep(max(0.0, pause - (loop.time() - began)))  # a member that was silent was pause enough
            pause = min(pause * 2, MOST_SECONDS / 4)

    async def _done(self, writes: Sequence[Write]) -> int:
        """The revision at which all this was written; 0 when it was not."""
        body = await self._read("/v3/kv/txn", wire.txn_read([write.key for write in writes]))
        found = wire.ranges(body)
        for write, entry in zip(writes, found, strict=True):
            if (entry.value if entry else None) != (write.value if isinstance(write, Put) else None):
                return 0
        revisions = {entry.modified for entry in found if entry is not None}
        if len(revisions) > 1:
            return 0
        return revisions.pop() if revisions else wire.revision(body)

    @asynccontextmanager
    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[AsyncIterator[Batch]]:
        batches = self._batches(prefix, after)
        try:
            yield batches
        finally:
            await batches.aclose()

    async def _batches(self, prefix: str, after: int) -> AsyncGenerator[Batch]:
        """From one member after another, each from where the one before broke off."""
        seen, pause = after, FIRST_PAUSE
        while True:
            try:
                request = wire.watch_create(prefix, seen + 1)
                async with self._pool.stream("/v3/watch", request, silence=self._silence) as messages:
                    async for message in messages:
                        for batch in _told(message, seen):
                            pause = FIRST_PAUSE
                            seen = max(seen, batch.revision)
                            yield batch
            except Broken:
                # all who watched one member come back at different moments
                await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                pause = min(pause * 2, LONGEST_PAUSE)

    async def grant(self, seconds: int) -> Lease:
        body = await self._read("/v3/lease/grant", wire.lease_grant(seconds), each=MOST_SECONDS / 2)
        return Lease(wire.number(body, "ID"), wire.number(body, "TTL"))

    async def keep(self, lease: Lease) -> None:
        # the answer for a lease that has ended is a good one, without a time to live
        body = await self._read("/v3/lease/keepalive", wire.lease_id(lease.id), each=MOST_SECONDS / 2)
        if not wire.number(body.get("result") or {}, "TTL"):
            raise LeaseLost("the lease has ended")

    async def revoke(self, lease: Lease) -> None:
        try:
            await self._read("/v3/lease/revoke", wire.lease_id(lease.id), each=MOST_SECONDS / 2)
        except LeaseLost:
            return

    async def compact(self, revision: int) -> None:
        await self._read("/v3/kv/compaction", wire.compaction(revision), each=MOST_SECONDS / 2)

    async def member_list(self) -> list[dict[str, Any]]:
        """The members as a quorum has them, as etcd tells them. Raises Unavailable."""
        body = await self._read("/v3/cluster/member/list", {"linearizable": True}, each=MOST_SECONDS / 2)
        return list(body.get("members") or ())

    async def _read(self, path: str, message: wire.Json, *, each: float = READ_SECONDS) -> wire.Json:
        """For what may be asked twice. A member without a leader is like one that is silent: the next is asked."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + self._within, FIRST_PAUSE
        while True:
            answer = await self._pool.call(path, message, each=each, within=max(until - loop.time(), 0.01))
            try:
                return good(answer)
            except Unavailable:
                if loop.time() + pause > until:
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


def good(answer: EtcdAnswer) -> wire.Json:
    """The body. Raises what the error means: the code alone does not tell, so its words are read too."""
    if answer.status == 200 and isinstance(answer.body, dict):
        body: wire.Json = answer.body
        return body
    message = answer.message.removeprefix("etcdserver: ") or f"HTTP {answer.status}"
    raise _error(answer.code, message)


def _error(code: int, message: str) -> StoreError:
    if code == OUT_OF_RANGE and "compacted" in message:
        return Compacted(message)
    if code == NOT_FOUND and "lease" in message:
        return LeaseLost("the lease has ended")
    if code == INVALID and "too large" in message:
        return TooLarge(message)
    if code == RESOURCES and "space" in message:
        return StoreFull("etcd takes no writes: its space is used up", hint="make room: orlop cluster status")
    if code in {UNAVAILABLE, DEADLINE, RESOURCES} or not code:
        return Unavailable(f"etcd answers: {message}", hint="orlop cluster status shows which members are there")
    return StoreError(f"etcd refuses: {message}")


def _told(message: wire.Json, seen: int) -> list[Batch]:
    """What one message of a watch says. Raises Compacted and Broken."""
    if "error" in message:
        raise Broken(str(message["error"].get("message")), sent=True)
    result = message.get("result") or {}
    if result.get("canceled"):
        first = wire.number(result, "compact_revision")
        if first:
            raise Compacted(f"the changes after revision {seen} are compacted", first=first)
        raise Broken(str(result.get("cancel_reason") or "etcd ended the watch"), sent=True)
    if result.get("created"):
        return []  # its revision is the store's, not how far this watch has come
    return wire.batches(result)
