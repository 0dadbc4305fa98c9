"""Reports of machines, by several servers over one store: one write each, and copies are noticed at any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orlop.control.records import Deed, Doubled, Records
from orlop.errors import Missing
from orlop.model.cluster.access import Access, Caller
from orlop.model.cluster.machine import MachineRecord, MachineReport
from orlop.model.cluster.names import AUDIT, BOOTS, MACHINES, REPORTS, Role
from orlop.store.memory import MemoryStore
from orlop.store.protocol import PAGE, Put, StoreEntry, StorePage

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
M1 = "1" * 32
A, B = "a" * 36, "b" * 36
ADMIN = Deed(Caller(Access.ADMIN, "ada", "certificate"), "expel", "10.0.0.2")


class ReadStore(MemoryStore):
    """Counts what it is asked for."""

    reads = 0

    async def get(self, key: str) -> StoreEntry | None:
        self.reads += 1
        return await super().get(key)

    async def page(self, prefix: str, *, after: str = "", revision: int = 0, limit: int = PAGE) -> StorePage:
        self.reads += 1
        return await super().page(prefix, after=after, revision=revision, limit=limit)


def report(boot: str, at: datetime = NOW) -> MachineReport:
    return MachineReport(M1, boot, "20261201.1", "good", "", (), at)


def run(script: Callable[[ReadStore, Records, Records], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        store = ReadStore()
        record = MachineRecord(M1, Role.WORKER, "w1", "0" * 64, "0" * 16, NOW)
        await store.commit([Put(MACHINES + M1, record.text())])
        await script(store, Records(store), Records(store))

    asyncio.run(whole())


def test_a_report_in_steady_state_is_one_write_and_no_read() -> None:
    async def script(store: ReadStore, records: Records, _: Records) -> None:
        await records.report(report(A), "10.0.0.1", NOW)
        store.reads, begun = 0, (await MemoryStore.page(store, "")).revision
        for n in range(1, 6):
            await records.report(report(A), "10.0.0.1", NOW + timedelta(seconds=30 * n))
        assert store.reads == 0
        assert (await store.page("")).revision == begun + 5

    run(script)


def test_two_that_report_to_two_servers_are_noticed() -> None:
    """Each server hears one of them alone, so only the store can know."""

    async def script(_: ReadStore, one: Records, other: Records) -> None:
        refused = []
        for n in range(6):
            now = NOW + timedelta(seconds=30 * n)
            await one.report(report(A), "10.0.0.1", now)
            try:
                await other.report(report(B), "10.0.0.9", now + timedelta(seconds=15))
            except Doubled as e:
                refused.append((n, e.message, e.hint))
        assert [n for n, _, _ in refused] == [2, 3, 4, 5]
        assert "another machine with this identity runs, at 10.0.0.1" in refused[0][1]
        assert "orlop node reset" in refused[0][2]
        kept, boots = await one.reported(M1)
        assert kept is not None and kept.boot == A
        assert boots is not None and boots.doubled(NOW + timedelta(seconds=170))
        news = [e["result"] for e in (await one.audit(limit=100))[0]]
        assert news == ["two machines have this identity, at 10.0.0.1 and 10.0.0.9; the latter is refused"]

    run(script)


def test_a_machine_that_moves_between_servers_and_boots_is_one() -> None:
    async def script(store: ReadStore, one: Records, other: Records) -> None:
        for n in range(20):
            boot = f"{n // 5:036}"
            await (one, other)[n % 2].report(report(boot), "10.0.0.1", NOW + timedelta(seconds=30 * n))
        assert (await store.page(AUDIT)).entries == ()

    run(script)


def test_what_is_late_changes_nothing() -> None:
    async def script(_store: ReadStore, records: Records, _: Records) -> None:
        await records.report(report(A), "10.0.0.1", NOW)
        await records.report(report(B), "10.0.0.1", NOW + timedelta(seconds=3))
        await records.report(report(A), "10.0.0.1", NOW + timedelta(seconds=5))
        kept, _boots = await records.reported(M1)
        assert kept is not None and kept.boot == B

    run(script)


def test_one_that_is_expelled_leaves_nothing_and_writes_nothing_any_more() -> None:
    async def script(store: ReadStore, one: Records, other: Records) -> None:
        await one.report(report(A), "10.0.0.1", NOW)
        await other.expel(M1, "old", ADMIN, NOW)
        with pytest.raises(Missing):
            await one.report(report(A), "10.0.0.1", NOW)
        for prefix in (REPORTS, BOOTS, MACHINES):
            assert (await store.page(prefix)).entries == ()

    run(script)


def test_boots_that_cannot_be_read_are_written_anew() -> None:
    async def script(store: ReadStore, records: Records, _: Records) -> None:
        await store.commit([Put(BOOTS + M1, b"{")])
        await records.report(report(A), "10.0.0.1", NOW)
        assert (await records.reported(M1))[1] is not None

    run(script)
