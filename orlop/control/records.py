"""Machines as the store has them: read, joined, cordoned, expelled. Each change and its audit entry are one commit.

Keys (model/cluster/names; all of them written by control alone):

    state/machines/MACHINE    MachineRecord
    state/expelled/MACHINE    why; goes with its lease when its certificate would have ended
    reports/MACHINE           MachineReport
    boots/MACHINE             KnownBoots
    tokens/revoked/ID         why
    audit/TIME-…              what somebody did; goes with its lease

Invariant: a machine that was expelled is refused until its last certificate has ended, whatever it shows, and comes
back only by a new token and a new key.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orlop.errors import BadInput, Missing, NotAllowed
from orlop.model.cluster.access import Access, Caller
from orlop.model.cluster.boots import KnownBoots, judge
from orlop.model.cluster.certificates import MACHINE_LIFE
from orlop.model.cluster.machine import MachineRecord, MachineReport
from orlop.model.cluster.names import AUDIT, BOOTS, EXPELLED, LOCK_HOLDS, MACHINES, PEOPLE, REPORTS, REVOKED
from orlop.model.words.record import record_text
from orlop.model.words.strict import stamp
from orlop.store.protocol import Conflict, Delete, Expect, Put, Store, StoreEntry, StorePage, Write, through

AUDIT_LIFE = timedelta(days=90)
_TRIES = 5  # of a change that somebody else was quicker with


class Doubled(NotAllowed):
    """Another machine with the same identity runs."""


@dataclass(frozen=True)
class KeptMachine:
    """A record and the revision it was written at: what ETag and If-Match speak of."""

    record: MachineRecord
    revision: int


@dataclass(frozen=True)
class Deed:
    """What somebody does, for the audit log. `where`: the address it came from."""

    caller: Caller
    what: str
    where: str

    def text(self, now: datetime, result: str) -> bytes:
        entry = {
            "at": stamp(now), "who": self.caller.called, "via": self.caller.via, "what": self.what,
            "from": self.where, "result": result,
        }  # fmt: skip
        return record_text(entry)


class Records:
    def __init__(self, store: Store) -> None:
        self._store = store
        # of machines that report here: what is kept beside the store only saves a read, every write is held against it
        self._known: dict[str, tuple[KnownBoots | None, int]] = {}
        self._noted = itertools.count()

    async def machine(self, machine: str) -> KeptMachine:
        """Raises Missing."""
        entry = await self._store.get(MACHINES + machine)
        if entry is None:
            raise Missing(f"there is no machine {machine} in this cluster", hint="orlop machine list shows all")
        return kept(entry)

    async def machines(self, *, after: str = "", revision: int = 0, limit: int) -> tuple[list[KeptMachine], StorePage]:
        """A page, in the order of names; the page itself says whether there are more."""
        last = MACHINES + after if after else ""
        page = await self._store.page(MACHINES, after=last, revision=revision, limit=limit)
        return [kept(entry) for entry in page.entries], page

    async def reports(self, after: str, last: str, limit: int) -> Mapping[str, MachineReport]:
        """The last of each machine after `after` up to `last`, by its name: about `limit` of them; no others are read.

        One that cannot be read is left out: it says nothing of others.
        """
        reports = {}
        for entry in await through(self._store, REPORTS, after, last, limit):
            with suppress(BadInput):
                reports[entry.key.removeprefix(REPORTS)] = MachineReport.read(entry.value)
        return reports

    async def reported(self, machine: str) -> tuple[MachineReport | None, KnownBoots | None]:
        """The last report of one machine, and its boots; None for what is not there or cannot be read."""
        entry = await self._store.get(REPORTS + machine)
        report = None
        with suppress(BadInput):
            report = MachineReport.read(entry.value) if entry else None
        return report, (await self._boot(machine))[0]

    async def boots(self, after: str, last: str, limit: int) -> Mapping[str, KnownBoots]:
        """As `reports`, of what is known of their boots."""
        boots = {}
        for entry in await through(self._store, BOOTS, after, last, limit):
            with suppress(BadInput):
                boots[entry.key.removeprefix(BOOTS)] = KnownBoots.read(entry.value)
        return boots

    async def report(self, report: MachineReport, address: str, now: datetime) -> None:
        """Keep what a machine says, when it is the one that has this identity.

        In steady state it is one write, that depends on the boot being the one that is known: another server may
        have heard of another one. Raises Missing, and Doubled for one that is a copy of a machine that runs.
        """
        machine = report.machine
        for last in range(1, _TRIES + 1):
            known, revision = self._known.get(machine) or await self._boot(machine)
            verdict = judge(known, report.boot, address, now)
            if verdict.is_late:
                return
            expect = [Expect(BOOTS + machine, revision)]
            writes: list[Write] = [] if verdict.refused else [Put(REPORTS + machine, report.text())]
            try:
                if verdict.known != known:
                    expect.append(Expect(MACHINES + machine, (await self.machine(machine)).revision))
                    writes.append(Put(BOOTS + machine, verdict.known.text()))
                if verdict.news:
                    deed = Deed(Caller(Access.MACHINE, machine, "certificate"), "report", address)
                    writes.append(await self._entry(deed, verdict.news, now))
                if writes:
                    written = await self._store.commit(writes, expect)
                    self._known[machine] = (verdict.known, written if verdict.known != known else revision)
            except (Conflict, Missing) as e:
                self._known.pop(machine, None)
                if last == _TRIES or isinstance(e, Missing):
                    raise
            else:
                if verdict.refused:
                    hint = "give the copy an identity of its own, on it: orlop node reset"
                    raise Doubled(verdict.refused, hint=hint)
                return

    async def _boot(self, machine: str) -> tuple[KnownBoots | None, int]:
        """What is known, and its revision. What cannot be read is as good as nothing: it is written anew."""
        entry = await self._store.get(BOOTS + machine)
        if entry is None:
            return None, 0
        try:
            return KnownBoots.read(entry.value), entry.modified
        except BadInput:
            return None, entry.modified

    async def revoked(self, token: str) -> str:
        """Why a token is taken back; empty when it is not."""
        entry = await self._store.get(REVOKED + token)
        return entry.value.decode(errors="replace") if entry else ""

    async def revoke(self, token: str, reason: str, ends: datetime, deed: Deed, now: datetime) -> None:
        lease = await self._store.grant(max(60, int((ends - now).total_seconds())))
        await self.commit([Put(REVOKED + token, reason.encode(), lease.id)], [], deed, now)

    async def join(self, record: MachineRecord, deed: Deed, now: datetime) -> MachineRecord:
        """Let a machine in. One that is in already comes back only with the key it has: raises NotAllowed.

        One that lost its key (its disk was wiped) is expelled first, by somebody who knows that it is the same one.
        """
        present = await self._store.get(MACHINES + record.machine)
        if present is not None:
            known = kept(present).record
            if known.key != record.key:
                raise NotAllowed(
                    f"machine {record.machine} is in the cluster already, as {known.host}, with another key: "
                    "this is a copy of its disk, or it lost its key",
                    hint=f"give the copy an identity of its own (orlop node reset); if it lost its key: "
                    f"orlop machine expel {record.machine}",
                )
            return known
        # it comes back only by what it cannot have kept: another key, and a token made for it since
        gone = await self._store.get(EXPELLED + record.machine)
        if gone is not None:
            out = json.loads(gone.value)
            if record.key == out.get("key") or record.token == out.get("token"):
                raise NotAllowed(f"machine {record.machine} was expelled: {out.get('reason')}",
                                 hint="it comes back with a new token: orlop cluster token")  # fmt: skip
        writes: list[Write] = [Put(MACHINES + record.machine, record.text())]
        if gone is not None:
            writes.append(Delete(EXPELLED + record.machine))
        await self.commit(writes, [Expect(MACHINES + record.machine, 0)], deed, now)
        return record

    async def cordon(self, machine: str, reason: str, deed: Deed, now: datetime, *, match: int = 0) -> KeptMachine:
        """Give it no new work, for this reason; none: give it work again. `match`: the revision somebody has seen.

        Raises Missing, and Conflict when it is another one by now.
        """
        for last in range(1, _TRIES + 1):
            found = await self.machine(machine)
            if match and found.revision != match:
                raise Conflict(f"machine {machine} was changed by somebody else", found={machine: found.revision},
                               hint="look at it again, then decide again")  # fmt: skip
            made = found.record.cordon(reason)
            try:
                where = MACHINES + machine
                revision = await self.commit([Put(where, made.text())], [Expect(where, found.revision)], deed, now)
                return KeptMachine(made, revision)
            except Conflict:
                if last == _TRIES or match:
                    raise
        raise AssertionError("unreachable")

    async def expel(self, machine: str, reason: str, deed: Deed, now: datetime) -> None:
        """Put it out: its record goes, and its certificate is refused for as long as it would be good."""
        found = await self.machine(machine)
        lease = await self._store.grant(int(MACHINE_LIFE.total_seconds()))
        why = json.dumps({"reason": reason, "key": found.record.key, "token": found.record.token})
        writes: list[Write] = [
            Put(EXPELLED + machine, why.encode(), lease.id),
            Delete(MACHINES + machine),
            Delete(REPORTS + machine),
            Delete(BOOTS + machine),
            Delete(LOCK_HOLDS + machine),
        ]
        await self.commit(writes, [Expect(MACHINES + machine, found.revision)], deed, now)

    async def person(
        self, token_hash: str, person: Mapping[str, Any], life: timedelta, deed: Deed, now: datetime
    ) -> None:
        """A bearer token, by its hash: whose it is, as what, until when."""
        lease = await self._store.grant(int(life.total_seconds()))
        await self.commit([Put(PEOPLE + token_hash, json.dumps(person).encode(), lease.id)], [], deed, now)

    async def audit(self, *, after: str = "", limit: int) -> tuple[list[dict[str, Any]], str]:
        """A page of what was done, oldest first, and where the next one begins; "" when it is the last."""
        page = await self._store.page(AUDIT, after=AUDIT + after if after else "", limit=limit)
        entries = [json.loads(entry.value) for entry in page.entries]
        return entries, page.entries[-1].key.removeprefix(AUDIT) if page.more else ""

    async def note(self, deed: Deed, result: str, now: datetime) -> None:
        """Something that was refused, or that changes nothing in the store."""
        await self._store.commit([await self._entry(deed, result, now)])

    async def commit(self, writes: Sequence[Write], expect: Sequence[Expect], deed: Deed, now: datetime) -> int:
        """Both the change and its entry in the audit log, or neither; the revision. Raises as Store.commit."""
        return await self._store.commit([*writes, await self._entry(deed, "done", now)], expect)

    async def _entry(self, deed: Deed, result: str, now: datetime) -> Put:
        lease = await self._store.grant(int(AUDIT_LIFE.total_seconds()))
        # in the order of time, of one moment in the order in which this server did it, and never the same for two
        at = f"{stamp(now)}.{now.microsecond:06}-{next(self._noted):08x}{secrets.token_hex(4)}"
        return Put(AUDIT + at, deed.text(now, result), lease.id)


def kept(entry: StoreEntry) -> KeptMachine:
    """Raises BadInput."""
    return KeptMachine(MachineRecord.read(entry.value), entry.modified)
