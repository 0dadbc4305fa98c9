"""A page of machines reads what it shows, chooses, and goes on where it stopped: at a thousand machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orlop.control import listing
from orlop.control.listing import MOST_READ, MachineChoice, machine_page
from orlop.control.records import Records
from orlop.errors import BadInput
from orlop.model.cluster.machine import MachineRecord, MachineReport
from orlop.model.cluster.names import MACHINES, REPORTS, Role
from orlop.store.memory import MemoryStore
from orlop.store.protocol import PAGE, Compacted, Delete, Put, StorePage

NOW = datetime(2026, 12, 1, tzinfo=UTC)
THOUSAND = [f"{n:032x}" for n in range(0, 3000, 3)]


class CountedStore(MemoryStore):
    """Knows how many entries it has given away."""

    given = 0

    async def page(self, prefix: str, *, after: str = "", revision: int = 0, limit: int = PAGE) -> StorePage:
        page = await super().page(prefix, after=after, revision=revision, limit=limit)
        self.given += len(page.entries)
        return page


def record(name: str, n: int) -> MachineRecord:
    role = Role.SERVER if n % 100 == 0 else Role.WORKER
    return MachineRecord(name, role, f"h{n}", "0" * 64, "0" * 16, NOW, "disk" if n % 250 == 0 else "")


def report(name: str, n: int) -> MachineReport:
    at = NOW - timedelta(hours=1) if n % 10 == 9 else NOW
    return MachineReport(name, "b", "20261201.1", "bad" if n % 10 == 8 else "good", "", ("10.0.0.1",), at)


async def filled(names: list[str]) -> CountedStore:
    """Every seventh has not reported yet."""
    store = CountedStore()
    for n, name in enumerate(names):
        await store.commit([Put(MACHINES + name, record(name, n).text())])
        if n % 7:
            await store.commit([Put(REPORTS + name, report(name, n).text())])
    return store


def run(script: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(script())


def test_a_page_costs_what_it_shows() -> None:
    async def script() -> None:
        store = await filled(THOUSAND)
        page = await machine_page(Records(store), MachineChoice(), "", 10, NOW)
        assert [line["machine"] for line in page.machines] == THOUSAND[:10]
        assert store.given <= 20
        store.given = 0
        page = await machine_page(Records(store), MachineChoice(), page.more, 10, NOW)
        assert [line["machine"] for line in page.machines] == THOUSAND[10:20]
        assert [line["presence"].partition(":")[0] for line in page.machines][4] == "new"
        assert store.given <= 20

    run(script)


def test_all_pages_are_all_machines_as_of_the_first() -> None:
    async def script() -> None:
        store = await filled(THOUSAND)
        store.given, found, more = 0, list[str](), ""
        while True:
            page = await machine_page(Records(store), MachineChoice(), more, 300, NOW)
            found += [line["machine"] for line in page.machines]
            if not (more := page.more):
                break
            await store.commit([Delete(MACHINES + THOUSAND[len(found)]), Put(MACHINES + "f" * 32, b"")])
        assert found == THOUSAND
        assert store.given <= 2000

    run(script)


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (MachineChoice(role="server"), lambda n: n % 100 == 0),
        (MachineChoice(cordoned="yes"), lambda n: n % 250 == 0),
        (MachineChoice(cordoned="no", role="server"), lambda n: n % 100 == 0 and n % 250 != 0),
        (MachineChoice(verdict="bad"), lambda n: n % 10 == 8 and n % 7),
        (MachineChoice(verdict="away"), lambda n: n % 10 == 9 and n % 7),
        (MachineChoice(verdict="new"), lambda n: n % 7 == 0),
        (MachineChoice(host="h777"), lambda n: n == 777),
        (MachineChoice(host="nobody"), lambda n: n < 0),
    ],
)
def test_a_choice_is_full_pages_of_what_is_chosen(choice: MachineChoice, wanted: Callable[[int], bool]) -> None:
    async def script() -> None:
        store = await filled(THOUSAND)
        expected = [name for n, name in enumerate(THOUSAND) if wanted(n)]
        found, more, pages = list[str](), "", 0
        while pages == 0 or more:
            page = await machine_page(Records(store), choice, more, 7, NOW)
            found += [line["machine"] for line in page.machines]
            more, pages = page.more, pages + 1
        assert found == expected
        assert pages <= len(expected) // 7 + 1

    run(script)


def test_a_rare_choice_among_very_many_says_where_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_READ", 100)

    async def script() -> None:
        store = await filled(THOUSAND)
        page = await machine_page(Records(store), MachineChoice(host="h777"), "", 50, NOW)
        assert page.machines == () and page.more
        assert store.given <= 200
        pages = 1
        while page.more:
            page = await machine_page(Records(store), MachineChoice(host="h777"), page.more, 50, NOW)
            pages += 1
        assert pages == 10
        assert MOST_READ >= listing.MOST

    run(script)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 40), limit=st.integers(1, 12), most=st.integers(1, 15),
    role=st.sampled_from(["", "server", "worker"]), cordoned=st.sampled_from(["", "yes", "no"]),
)  # fmt: skip
def test_pages_of_any_size_are_the_whole_list(count: int, limit: int, most: int, role: str, cordoned: str) -> None:
    async def script() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing, "MOST_READ", most)
            names = THOUSAND[:count]
            store = await filled(names)
            choice = MachineChoice(role=role, cordoned=cordoned)
            found, more, first = list[str](), "", True
            while first or more:
                page = await machine_page(Records(store), choice, more, limit, NOW)
                assert len(page.machines) <= limit
                found += [line["machine"] for line in page.machines]
                more, first = page.more, False
        shown = [listing.shown(kept, None, None, NOW) for kept in (await Records(store).machines(limit=100))[0]]
        assert found == [line["machine"] for line in shown if choice.wants(line)]

    run(script)


def test_one_report_that_cannot_be_read_spoils_no_page() -> None:
    async def script() -> None:
        store = await filled(THOUSAND[:5])
        await store.commit([Put(REPORTS + THOUSAND[1], b"{}")])
        await store.commit([Put(REPORTS + THOUSAND[1] + "x", b"of nobody")])
        page = await machine_page(Records(store), MachineChoice(), "", 5, NOW)
        assert [line["presence"].partition(":")[0] for line in page.machines] == ["new", "new", "good", "good", "good"]

    run(script)


@pytest.mark.parametrize("cursor", ["junk", "bnVsbA==", "WyJ4IiwgMF0=", "WzEsIDJd", "WyJ4IiwgdHJ1ZV0=", "W" * 5000])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(BadInput, match="continue must be"):
        run(lambda: _asked(cursor))


async def _asked(cursor: str) -> None:
    await machine_page(Records(MemoryStore()), MachineChoice(), cursor, 5, NOW)


def test_a_list_that_took_too_long_is_told_to_begin_again() -> None:
    async def script() -> None:
        store = await filled(THOUSAND[:5])
        page = await machine_page(Records(store), MachineChoice(), "", 2, NOW)
        await store.compact(await store.commit([Delete(MACHINES + THOUSAND[0])]))
        with pytest.raises(Compacted):
            await machine_page(Records(store), MachineChoice(), page.more, 2, NOW)

    run(script)


@pytest.mark.parametrize("query", [{"role": "king"}, {"verdict": "well"}, {"cordoned": "true"}])
def test_a_word_that_never_chooses_anything_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=next(iter(query))):
        MachineChoice.read(query)
