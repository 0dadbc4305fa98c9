"""The reboot lock of the cluster, in the store: taken, given back, released, kept alive.

    state/locks/holds/MACHINE   RebootHold; goes with its lease when its machine is not heard of for long
    state/locks/slots/GROUP     how many slots a group has, when somebody said so
    state/locks/turn            who was granted one last

Whoever is granted a slot writes `turn` in the same commit and expects it as it was when the decision was made. So of
two decisions made at once, on any two servers, one is made again. Giving back needs no turn: it only makes room.

Invariants: nothing is remembered here. A hold is granted by model.cluster.lock alone, and lives as long as its
machine reports.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orlop.control.hub import Hub
from orlop.control.records import Deed, Records
from orlop.errors import BadInput, Busy, Missing
from orlop.model.cluster.lock import (
    HOLD_SECONDS,
    USUAL_SLOTS,
    LockView,
    NotNow,
    RebootHold,
    Refusal,
    StoreMembers,
    decide_lock,
    group_of,
)
from orlop.model.cluster.names import LOCK_HOLDS, LOCK_SLOTS, LOCK_TURN, MACHINES, Role
from orlop.store.protocol import Conflict, Delete, Expect, Lease, LeaseLost, Put, Store, StoreEntry, everything

_TRIES = 20  # of a grant that somebody else was quicker with: each of them got one


class SlotRefused(Busy):
    """Not now; `kind` is for programs."""

    def __init__(self, message: str, *, kind: Refusal, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind


@dataclass(frozen=True)
class LockGroup:
    name: str
    slots: int
    holds: tuple[RebootHold, ...]


@dataclass(frozen=True)
class RebootLocks:
    """`members`: who is in the store, asked now. `seconds`: how long a holder may not be heard of."""

    store: Store
    records: Records
    members: Callable[[], Awaitable[StoreMembers]]
    seconds: int = HOLD_SECONDS

    async def take(self, machine: str, group: str, etcd: str, deed: Deed, now: datetime) -> str:
        """A slot for this machine; how it is then. "" is its role's group. Raises SlotRefused, Missing, Unavailable."""
        for _ in range(_TRIES):
            kept = await self.records.machine(machine)
            role = kept.record.role
            wanted = RebootHold(machine, kept.record.host, role, group or group_of(role), now)
            turn = await self.store.get(LOCK_TURN)  # before what is decided from, so that no grant is missed
            view = await self._view(wanted, etcd)
            decided = decide_lock(view)
            if isinstance(decided, NotNow):
                raise SlotRefused(decided.why, kind=decided.kind, hint=decided.hint)
            if any(hold.machine == machine and hold.group == wanted.group for hold in view.holds):
                return decided.why
            try:
                # a machine that is put out in this moment is granted nothing
                expect = [Expect(LOCK_TURN, turn.modified if turn else 0), Expect(MACHINES + machine, kept.revision)]
                await self._grant(wanted, expect, deed, now)
                return decided.why
            except Conflict:
                continue
        raise Busy("others were quicker, again and again", hint="ask again")

    async def _view(self, wanted: RebootHold, etcd: str) -> LockView:
        """Everything is read after the turn; the store's members last, so that what they say is newest."""
        slots = await self.store.get(LOCK_SLOTS + wanted.group)
        holds = await self.holds()
        members = await self.members() if wanted.role is Role.SERVER else None
        return LockView(wanted, _slots(slots), holds, members, etcd)

    async def _grant(self, hold: RebootHold, expect: Sequence[Expect], deed: Deed, now: datetime) -> None:
        lease = await self.store.grant(self.seconds)
        # a value that says whose it is: a commit whose answer was lost is known again by it
        mark = json.dumps({"machine": hold.machine, "mark": secrets.token_hex(8)}).encode()
        writes = [Put(LOCK_HOLDS + hold.machine, hold.text(), lease.id), Put(LOCK_TURN, mark)]
        try:
            await self.records.commit(writes, expect, deed, now)
        except Conflict:
            await self.store.revoke(lease)
            raise

    async def give_back(self, machine: str, deed: Deed, now: datetime) -> None:
        """Whatever slot it holds. Again, or without one: nothing happens."""
        entry = await self.store.get(LOCK_HOLDS + machine)
        if entry is not None:
            await self._end(entry, deed, now)

    async def release(self, machine: str, deed: Deed, now: datetime) -> None:
        """Take it from a machine. Raises Missing when it holds none."""
        entry = await self.store.get(LOCK_HOLDS + machine)
        if entry is None:
            raise Missing(f"machine {machine} holds no reboot lock", hint="orlop machine locks shows who does")
        await self._end(entry, deed, now)

    async def _end(self, entry: StoreEntry, deed: Deed, now: datetime) -> None:
        try:
            await self.records.commit([Delete(entry.key)], [Expect(entry.key, entry.modified)], deed, now)
        except Conflict:
            return  # it is gone by now, or is a newer one, which nobody meant
        await self.store.revoke(Lease(entry.lease, self.seconds))

    async def set_slots(self, group: str, slots: int, deed: Deed, now: datetime) -> None:
        """From the next that asks on: nobody loses what it holds."""
        await self.records.commit([Put(LOCK_SLOTS + group, str(slots).encode())], [], deed, now)

    async def holds(self) -> tuple[RebootHold, ...]:
        page = await everything(self.store, LOCK_HOLDS)
        return tuple(RebootHold.read(entry.value) for entry in page.entries)

    async def groups(self) -> tuple[LockGroup, ...]:
        """Those that anything is known of, and the two that there always are, by name."""
        said = await everything(self.store, LOCK_SLOTS)
        slots = {group_of(role): USUAL_SLOTS for role in Role}
        holds = await self.holds()
        slots |= {hold.group: USUAL_SLOTS for hold in holds}
        slots |= {entry.key.removeprefix(LOCK_SLOTS): _slots(entry) for entry in said.entries}
        return tuple(LockGroup(name, slots[name], tuple(h for h in holds if h.group == name)) for name in sorted(slots))

    async def keep(self, hub: Hub, machine: str) -> None:
        """It was just heard of: what it holds, it holds for another while. `hub` knows without asking who holds."""
        entry = hub.get(LOCK_HOLDS + machine)
        if entry is None or not entry.lease:
            return
        try:
            await self.store.keep(Lease(entry.lease, self.seconds))
        except LeaseLost:
            return  # it was given back in this moment


def _slots(entry: StoreEntry | None) -> int:
    try:
        return int(entry.value) if entry else USUAL_SLOTS
    except ValueError:
        raise BadInput(f"{entry.key if entry else ''} in the store is not a number") from None
