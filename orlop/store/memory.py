"""A store in this process, with etcd's rules: revisions, history, leases, compaction.

Lifetime: it is one event loop's, and everything in it is gone with the object. Invariant: between two awaits nothing is
half done, so whoever reads sees whole commits. The whole history is kept until `compact`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from orlop.store.protocol import (
    PAGE,
    Batch,
    Compacted,
    Delete,
    Expect,
    KeyChange,
    Lease,
    LeaseLost,
    Put,
    StoreEntry,
    StorePage,
    Write,
    checked,
    conflict,
)


@dataclass
class _Granted:
    lease: Lease
    keys: set[str] = field(default_factory=set)
    end: asyncio.TimerHandle | None = None


class MemoryStore:
    def __init__(self) -> None:
        self._now: dict[str, StoreEntry] = {}
        self._base: dict[str, StoreEntry] = {}  # what there was before the first of the history
        self._history: list[Batch] = []  # in order of revision; those below `_compacted` are gone
        self._revision = 1  # etcd's first: so the first commit is 2 in both
        self._compacted = 0
        self._leases: dict[int, _Granted] = {}
        self._next_lease = 1
        self._news: asyncio.Event = asyncio.Event()

    async def get(self, key: str) -> StoreEntry | None:
        return self._now.get(key)

    async def page(self, prefix: str, *, after: str = "", revision: int = 0, limit: int = PAGE) -> StorePage:
        if revision and revision < self._compacted:
            raise Compacted(f"revision {revision} is compacted", first=self._compacted)
        now = self._as_of(revision) if revision else self._now
        keys = sorted((key for key in now if key.startswith(prefix)), key=str.encode)
        rest = keys[bisect_right(keys, after.encode(), key=str.encode) :] if after else keys
        entries = tuple(now[key] for key in rest[:limit])
        return StorePage(entries, revision or self._revision, more=len(rest) > limit)

    async def commit(self, writes: Sequence[Write], expect: Sequence[Expect] = (), *, once: bool = False) -> int:  # noqa: ARG002
        checked(writes, expect)
        present = {e.key: self._now[e.key].modified if e.key in self._now else 0 for e in expect}
        if differing := {e.key: present[e.key] for e in expect if present[e.key] != e.modified}:
            raise conflict(differing)
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise LeaseLost(f"{write.key} hangs on a lease that has ended")
        self._apply(writes)
        return self._revision

    @asynccontextmanager
    async def watch(self, prefix: str, *, after: int) -> AsyncIterator[AsyncIterator[Batch]]:
        yield self._batches(prefix, after)

    async def grant(self, seconds: int) -> Lease:
        lease = Lease(self._next_lease, seconds)
        self._next_lease += 1
        self._leases[lease.id] = _Granted(lease)
        await self.keep(lease)
        return lease

    async def keep(self, lease: Lease) -> None:
        granted = self._leases.get(lease.id)
        if granted is None:
            raise LeaseLost("the lease has ended")
        if granted.end is not None:
            granted.end.cancel()
        granted.end = asyncio.get_running_loop().call_later(lease.seconds, self._end, lease.id)

    async def revoke(self, lease: Lease) -> None:
        self._end(lease.id)

    async def compact(self, revision: int) -> None:
        """Forget what was before `revision`, as a store does by itself now and then."""
        if revision > self._revision:
            raise ValueError(f"revision {revision} is in the future")
        if revision <= self._compacted:
            return
        # the compacted revision itself can still be read and told of, as in etcd: what is forgotten lies below it
        self._base = self._as_of(revision - 1)
        self._history = [batch for batch in self._history if batch.revision >= revision]
        self._compacted = revision
        self._tell()

    def _end(self, lease: int) -> None:
        granted = self._leases.pop(lease, None)
        if granted is None:
            return
        if granted.end is not None:
            granted.end.cancel()
        self._apply([Delete(key) for key in sorted(granted.keys)])

    def _apply(self, writes: Sequence[Write]) -> None:
        revision = self._revision + 1
        changes = []
        for write in writes:
            before = self._now.get(write.key)
            if isinstance(write, Delete):
                if before is None:
                    continue
                del self._now[write.key]
                changes.append(KeyChange(write.key, None))
            else:
                created, version = (before.created, before.version + 1) if before else (revision, 1)
                entry = StoreEntry(write.key, write.value, created, revision, version, write.lease)
                self._now[write.key] = entry
                changes.append(KeyChange(write.key, entry))
            self._hang(write, before)
        if changes:
            self._revision = revision
            self._history.append(Batch(revision, tuple(changes)))
            self._tell()

    def _hang(self, write: Write, before: StoreEntry | None) -> None:
        """A key hangs on the lease of its last writing, and on no other."""
        if before is not None and before.lease in self._leases:
            self._leases[before.lease].keys.discard(write.key)
        if isinstance(write, Put) and write.lease:
            self._leases[write.lease].keys.add(write.key)

    def _as_of(self, revision: int) -> dict[str, StoreEntry]:
        then = dict(self._base)
        for batch in self._history:
            if batch.revision > revision:
                break
            for change in batch.changes:
                if change.entry is None:
                    then.pop(change.key, None)
                else:
                    then[change.key] = change.entry
        return then

    def _tell(self) -> None:
        """Wake all who watch: each waits for an event that is set once and then replaced."""
        self._news.set()
        self._news = asyncio.Event()

    async def _batches(self, prefix: str, after: int) -> AsyncIterator[Batch]:
        seen = after
        while True:
            if seen + 1 < self._compacted:
                raise Compacted(f"the changes after revision {seen} are compacted", first=self._compacted)
            news = self._news
            for batch in [batch for batch in self._history if batch.revision > seen]:
                seen = batch.revision
                changes = tuple(change for change in batch.changes if change.key.startswith(prefix))
                if changes:
                    yield Batch(batch.revision, changes)
            if not news.is_set():
                await news.wait()
