"""The scheduler that leads: one server's, for as long as it has the leader's key.

    follow ──the key is free──→ lead: read all → decide → write → wait for what changes → decide …
       ↑                                                                                     │
       └──────────────── the key is lost, or the store is away ──────────────────────────────┘

Invariants: every write expects the leader's key as this term wrote it, so who was replaced without noticing changes
nothing. Machines are given up as lost only by a leader that has seen them away for GRACE. When most of them are away at
once, that says more about this server than about them: then they have until MANY_GRACE. A term that begins with most
machines away (all servers were) gives nobody up for a third of that. Nothing is done while nothing changes.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress

from orlop.control.hub import Bye, Hub, Listener, Resync, Told
from orlop.control.scheduler.presence import KEEP_SECONDS, LEASE_SECONDS
from orlop.model.cluster.names import LEADER, LOST
from orlop.model.fleet.picture import FleetPicture, WorkChange
from orlop.store.protocol import (
    MAX_WRITES,
    Conflict,
    Delete,
    Expect,
    Lease,
    LeaseLost,
    Put,
    Store,
    StoreError,
    Unavailable,
    Write,
)

GRACE = 2.0  # seconds that a machine may be away, after its connection was found dead
MANY_GRACE = 90.0  # the same when more than half are away; agents come back within a minute
PAUSE = 0.5
_LONG = 3600.0
log = logging.getLogger("orlop.control")


class SchedulerLoop:
    """Lifetime: the server's; `run` is a task of its own. `grace`, `many_grace`: seconds."""

    def __init__(self, store: Store, hub: Hub, server: str, *, grace: float = GRACE, many_grace: float = MANY_GRACE):
        self._store, self._hub, self._server = store, hub, server
        self._grace, self._many_grace = grace, many_grace
        self._key = 0  # the revision at which this term wrote the leader's key
        self._away: dict[str, float] = {}  # machine → since when, by the loop's clock
        self._nobody_before = 0.0  # when the first machine may be given up, by the same clock
        self._epoch = 0
        self._defects: set[str] = set()  # that were said
        self.picture = FleetPicture()

    @property
    def leads(self) -> bool:
        return self._key > 0

    async def run(self) -> None:
        await self._hub.ready.wait()
        while True:
            try:
                await self._follow()
                await self._lead()
            except (Conflict, LeaseLost):
                log.info("another server decides about units now")
            except Unavailable:
                await asyncio.sleep(PAUSE)
            except StoreError as e:
                log.warning("deciding about units failed, it begins anew: %s", e.message)
                await asyncio.sleep(PAUSE)
            except Exception:  # the loop's top: a defect must not leave a cluster without anybody who decides
                log.exception("deciding about units failed by a defect, it begins anew")
                await asyncio.sleep(PAUSE * 10)
            finally:
                self._key = 0

    async def _follow(self) -> None:
        """Until the leader's key is free."""
        with self._hub.listening(LEADER.__eq__, deep=True) as listener:
            while True:
                word = await listener.next(_LONG)
                if isinstance(word, Bye):
                    raise Unavailable("too much has changed at once: it is read anew")
                if isinstance(word, Resync) and not word.entries:
                    return
                if isinstance(word, Told) and word.change.entry is None:
                    return

    async def _lead(self) -> None:
        """A term. Raises Conflict, LeaseLost, Unavailable at its end."""
        lease = await self._store.grant(LEASE_SECONDS)
        try:
            written = await self._store.commit([Put(LEADER, self._server.encode(), lease.id)], [Expect(LEADER, 0)])
        except Conflict:
            await self._store.revoke(lease)
            await asyncio.sleep(PAUSE / 10)  # until this server has heard of it
            return
        self._key = written
        log.info("this server decides about units")
        keeping = asyncio.ensure_future(self._keep(lease))
        deciding = asyncio.ensure_future(self._decide())
        try:
            await asyncio.wait({keeping, deciding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (keeping, deciding):
                task.cancel()
            ended = await asyncio.gather(keeping, deciding, return_exceptions=True)
            with suppress(StoreError):
                await self._store.revoke(lease)
        for why in ended:
            if isinstance(why, Exception):
                raise why

    async def _keep(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self._store.keep(lease)

    async def _decide(self) -> None:
        with self._hub.listening(_is_fleets, deep=True) as listener:
            word = await listener.next(_LONG)
            assert isinstance(word, Resync)
            self._begin(word)
            revision = word.revision
            while True:
                await self._step(revision)
                revision = await self._next(listener)

    def _begin(self, word: Resync) -> None:
        self.picture, self._away = FleetPicture(), {}
        for entry in word.entries:
            self.picture.tell(entry.key, entry.value)
        self.picture.adopt()
        is_cold = len(self.picture.present) * 2 < len(self.picture.machines)
        self._nobody_before = asyncio.get_running_loop().time() + self._many_grace / 3 if is_cold else 0.0

    async def _next(self, listener: Listener) -> int:
        """Until something has changed and all of it is told, or a machine's time is over; as of which revision."""
        wait = self._wait()
        while True:
            word = await listener.next(wait if wait is not None else _LONG)
            if isinstance(word, Bye) or listener.overrun:
                raise Unavailable("too much has changed at once: it is read anew")
            if isinstance(word, Resync):
                self._begin(word)
            elif word is not None:
                self.picture.tell(word.change.key, word.change.entry.value if word.change.entry else None)
            elif wait is None:
                continue
            if listener.is_empty:
                return self._hub.revision

    async def _step(self, revision: int) -> None:
        """Give machines up or take them back, then place."""
        for key in self.picture.defects.keys() - self._defects:
            log.warning("%s cannot be read, and counts as not there: %s", key, self.picture.defects[key])
        self._defects = set(self.picture.defects)
        writes: list[list[Write]] = []
        now = asyncio.get_running_loop().time()
        for machine, why in self._judge(now).items():
            value = json.dumps({"why": why}).encode() if why else None
            writes.append([Put(LOST + machine, value) if value is not None else Delete(LOST + machine)])
            self.picture.tell(LOST + machine, value)
        # it grows with each decision, and no more than the store's own revision does: every leader's are in one row
        self._epoch = max(self._epoch + 1, revision)
        writes += _pairs(self.picture.decide(self._epoch))
        for some in _chunks(writes):
            self._epoch = max(self._epoch, await self._store.commit(some, [Expect(LEADER, self._key)]))

    # machines that are away

    def _judge(self, now: float) -> dict[str, str]:
        """Which are lost from now on, and why; "" for those that are back."""
        picture, found = self.picture, dict[str, str]()
        for machine in picture.machines:
            if machine in picture.present:
                self._away.pop(machine, None)
                if machine in picture.lost:
                    found[machine] = ""
            elif machine not in picture.lost:
                self._away.setdefault(machine, now)
        for machine in [machine for machine in self._away if machine not in picture.machines]:
            del self._away[machine]
        for machine in [machine for machine in picture.lost if machine not in picture.machines]:
            found[machine] = ""
        if not self._away:
            self._nobody_before = 0.0  # all have come back
        patience = self._patience()
        for machine, since in list(self._away.items()):
            if now >= max(since + patience, self._nobody_before):
                del self._away[machine]
                found[machine] = f"it was lost: its agent has not been connected for {patience:.0f} s"
                log.warning("machine %s is away: its units go elsewhere", picture.machines[machine].host)
        return found

    def _patience(self) -> float:
        """How long one may be away. Those that were given up before do not count."""
        there = len(self.picture.machines) - len(self.picture.lost)
        return self._grace if len(self._away) * 2 <= there else self._many_grace

    def _wait(self) -> float | None:
        """For how long nothing is to be done but to listen."""
        if not self._away:
            return None
        until = max(self._nobody_before, min(self._away.values()) + self._patience())
        return max(0.01, until - asyncio.get_running_loop().time())


def _is_fleets(key: str) -> bool:
    return key != LEADER


def _pairs(changes: Sequence[WorkChange]) -> list[list[Write]]:
    """What belongs together: an instance goes from one machine to another in one commit."""
    found: dict[str, list[Write]] = {}
    for change in changes:
        write = Put(change.key, change.work.encoded()) if change.work is not None else Delete(change.key)
        found.setdefault(change.instance, []).append(write)
    return list(found.values())


def _chunks(groups: Sequence[Sequence[Write]]) -> list[list[Write]]:
    """As few commits as their limit allows; a group is split only when it alone is more: a global unit's."""
    made: list[list[Write]] = []
    for group in groups:
        if not made or len(made[-1]) + len(group) > MAX_WRITES:
            made.append([])
        for write in group:
            if len(made[-1]) == MAX_WRITES:
                made.append([])
            made[-1].append(write)
    return made
