"""What every store promises, asked of the one in memory and of a real etcd alike."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orlop.store.etcd.client import EtcdStore
from orlop.store.memory import MemoryStore
from orlop.store.protocol import (
    MAX_VALUE,
    MAX_WRITES,
    Batch,
    Compacted,
    Conflict,
    Delete,
    Expect,
    KeyChange,
    LeaseLost,
    Put,
    Store,
    StoreEntry,
    TooLarge,
    everything,
)
from tests.contracts.store.running import RunningMember

AnyStore = MemoryStore | EtcdStore
Script = Callable[[AnyStore, str], Awaitable[None]]
BOUND = 30.0
_prefixes = (f"/t{n}/" for n in itertools.count())


@asynccontextmanager
async def opened(etcd: RunningMember | None) -> AsyncIterator[AnyStore]:
    if etcd is None:
        yield MemoryStore()
        return
    store = EtcdStore([etcd.url])
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["memory", "etcd"])
def run(request: pytest.FixtureRequest) -> Callable[[Script], None]:
    """Runs a script against the store, with a prefix that nobody else uses."""
    etcd = request.getfixturevalue("etcd") if request.param == "etcd" else None

    def go(script: Script) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(BOUND), opened(etcd) as store:
                await script(store, next(_prefixes))

        asyncio.run(bounded())

    return go


Run = Callable[[Script], None]


async def take(batches: AsyncIterator[Batch], count: int) -> list[Batch]:
    """The next batches that change something."""
    taken: list[Batch] = []
    while len(taken) < count:
        batch = await anext(batches)
        if batch.changes:
            taken.append(batch)
    return taken


def test_a_key_is_what_was_last_written(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        assert await store.get(f"{at}a") is None
        first = await store.commit([Put(f"{at}a", b"1")])
        assert await store.get(f"{at}a") == StoreEntry(f"{at}a", b"1", first, first, 1)
        second = await store.commit([Put(f"{at}a", b"")])
        assert second > first
        assert await store.get(f"{at}a") == StoreEntry(f"{at}a", b"", first, second, 2)
        third = await store.commit([Delete(f"{at}a")])
        assert third > second
        assert await store.get(f"{at}a") is None
        assert await store.commit([Delete(f"{at}a")]) == third  # nothing was there: no change
        fourth = await store.commit([Put(f"{at}a", b"\x00\xff")])
        assert await store.get(f"{at}a") == StoreEntry(f"{at}a", b"\x00\xff", fourth, fourth, 1)

    run(script)


def test_a_commit_is_all_or_nothing(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        a, b, c = f"{at}a", f"{at}b", f"{at}ä"
        made = await store.commit([Put(a, b"1"), Put(b, b"1")], [Expect(a, 0), Expect(b, 0)])
        with pytest.raises(Conflict) as raised:
            await store.commit([Put(a, b"2"), Put(c, b"2"), Delete(b)], [Expect(a, made), Expect(b, 0), Expect(c, 7)])
        assert raised.value.found == {b: made, c: 0}
        assert "read it again" in raised.value.hint
        page = await store.page(at)
        assert [(e.key, e.value, e.modified) for e in page.entries] == [(a, b"1", made), (b, b"1", made)]
        later = await store.commit([Put(a, b"2"), Put(c, b"2"), Delete(b)], [Expect(a, made), Expect(b, made)])
        assert [(e.key, e.modified) for e in (await store.page(at)).entries] == [(a, later), (c, later)]

    run(script)


def test_pages_are_of_one_revision_and_in_the_order_of_bytes(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        names = ["", "!", "10", "2", "a", "a/b", "a0", "z", "ä", "€", "\U0001f600"]
        for name in reversed(names):
            await store.commit([Put(f"{at}k{name}", name.encode())])
        page = await store.page(f"{at}k", limit=4)
        await store.commit([Put(f"{at}k9", b"new"), Delete(f"{at}kz")])
        found = list(page.entries)
        while page.more:
            page = await store.page(f"{at}k", after=found[-1].key, revision=page.revision, limit=4)
            found.extend(page.entries)
        assert [entry.key for entry in found] == [f"{at}k{name}" for name in sorted(names, key=str.encode)]
        now = await everything(store, f"{at}k")
        assert f"{at}k9" in [entry.key for entry in now.entries] and not now.more
        assert (await store.page(f"{at}nothing")).entries == ()
        assert [e.key for e in (await store.page(f"{at}k", limit=2, after=f"{at}k2")).entries] == [f"{at}k9", f"{at}ka"]

    run(script)


def test_the_empty_prefix_is_all_there_is(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        await store.commit([Put(f"{at}a", b"")])
        assert f"{at}a" in [entry.key for entry in (await everything(store, "")).entries]
        async with store.watch("", after=0 if isinstance(store, MemoryStore) else 1) as batches:
            while f"{at}a" not in [change.key for change in (await anext(batches)).changes]:
                pass

    run(script)


def test_a_watch_tells_every_change_in_order(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        start = await store.commit([Put(f"{at}a", b"0"), Put(f"{at[:-1]}other", b"")])
        async with store.watch(at, after=start) as batches, store.watch(at, after=start - 1) as earlier:
            one = await store.commit([Put(f"{at}a", b"1"), Put(f"{at}b", b"1"), Put("/elsewhere", b"1")])
            two = await store.commit([Delete(f"{at}a")])
            told = await take(batches, 2)
            assert [batch.revision for batch in told] == [one, two]
            assert sorted(told[0].changes, key=lambda change: change.key) == [
                KeyChange(f"{at}a", StoreEntry(f"{at}a", b"1", start, one, 2)),
                KeyChange(f"{at}b", StoreEntry(f"{at}b", b"1", one, one, 1)),
            ]
            assert told[1].changes == (KeyChange(f"{at}a", None),)
            assert [batch.revision for batch in await take(earlier, 3)] == [start, one, two]
            waiting = asyncio.ensure_future(take(batches, 1))
            await asyncio.sleep(0.05)  # so that it waits already
            three = await store.commit([Put(f"{at}c", b"")])
            assert [batch.revision for batch in await waiting] == [three]

    run(script)


def test_what_is_compacted_is_said_not_skipped(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        first = await store.commit([Put(f"{at}a", b"1")])
        await store.commit([Put(f"{at}a", b"2")])
        last = await store.commit([Put(f"{at}a", b"3")])
        await store.compact(last)
        with pytest.raises(Compacted):
            await store.page(at, revision=first)
        assert [entry.value for entry in (await store.page(at, revision=last)).entries] == [b"3"]
        async with store.watch(at, after=first) as batches:
            with pytest.raises(Compacted) as raised:
                await take(batches, 1)
            assert raised.value.first == last
        async with store.watch(at, after=last - 1) as batches:
            assert [batch.revision for batch in await take(batches, 1)] == [last]

    run(script)


def test_keys_go_with_their_lease(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        lease = await store.grant(2)
        assert lease.seconds >= 2
        made = await store.commit([Put(f"{at}a", b"", lease.id), Put(f"{at}b", b"", lease.id), Put(f"{at}c", b"")])
        freed = await store.commit([Put(f"{at}b", b"")])  # written again without it: hangs on it no more
        assert (await store.get(f"{at}a")) == StoreEntry(f"{at}a", b"", made, made, 1, lease.id)
        await store.keep(lease)
        async with store.watch(at, after=freed) as batches:
            (gone,) = await take(batches, 1)
        assert gone.changes == (KeyChange(f"{at}a", None),)
        assert [entry.key for entry in (await store.page(at)).entries] == [f"{at}b", f"{at}c"]
        with pytest.raises(LeaseLost):
            await store.keep(lease)
        with pytest.raises(LeaseLost):
            await store.commit([Put(f"{at}a", b"", lease.id)])
        await store.revoke(lease)

    run(script)


def test_a_lease_lives_while_it_is_kept_and_ends_when_it_is_revoked(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        lease = await store.grant(2)
        await store.commit([Put(f"{at}a", b"", lease.id)])
        for _ in range(6):
            await asyncio.sleep(0.5)
            await store.keep(lease)
        assert await store.get(f"{at}a") is not None
        await store.revoke(lease)
        assert await store.get(f"{at}a") is None

    run(script)


@pytest.mark.parametrize(
    ("writes", "error"),
    [
        ([Put("/l", bytes(MAX_VALUE + 1))], TooLarge),
        ([Put("/l", bytes(MAX_VALUE)), Put("/m", b"1")], TooLarge),
        ([Put(f"/l{n}", b"") for n in range(MAX_WRITES + 1)], TooLarge),
        ([Put("/l", b"1"), Put("/l", b"2")], ValueError),
        ([Put("", b"1")], ValueError),
    ],
    ids=["value", "values", "writes", "twice", "no key"],
)
def test_limits_are_the_same_everywhere(run: Run, writes: list[Put], error: type[Exception]) -> None:
    async def script(store: AnyStore, _: str) -> None:
        with pytest.raises(error):
            await store.commit(writes)
        assert await store.get("/l") is None

    run(script)


def test_the_largest_of_all_is_taken(run: Run) -> None:
    async def script(store: AnyStore, at: str) -> None:
        await store.commit([Put(f"{at}a", bytes(MAX_VALUE))])
        many: list[Put] = [Put(f"{at}{n}", b"") for n in range(MAX_WRITES)]
        await store.commit(many, [Expect(write.key, 0) for write in many])
        assert len((await everything(store, at)).entries) == MAX_WRITES + 1

    run(script)


KEYS = st.sampled_from("abc")
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.binary(max_size=3)),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.just("swap"), KEYS, st.integers(0, 2)),
    st.tuples(st.just("read"), st.none(), st.none()),
)


@settings(max_examples=40)
@given(script=st.lists(OPERATIONS, min_size=1, max_size=12))
def test_both_do_the_same(etcd: RunningMember, script: list[tuple[str, Any, Any]]) -> None:
    async def answers(member: RunningMember | None, at: str) -> list[Any]:
        async with asyncio.timeout(BOUND), opened(member) as store:
            base = await store.commit([Put(f"{at}start", b"")])
            said = [await _did(store, at, base, operation) for operation in script]
            async with store.watch(at, after=base) as batches:
                end = await store.commit([Put(f"{at}end", b"")])
                told: list[Any] = []
                async for batch in batches:
                    told += [(batch.revision - base, c.key.removeprefix(at), bool(c.entry)) for c in batch.changes]
                    if batch.revision >= end and batch.changes:
                        return [*said, told]
            raise AssertionError("the watch ended")

    at = next(_prefixes)
    assert asyncio.run(answers(None, at)) == asyncio.run(answers(etcd, at))


async def _did(store: Store, at: str, base: int, operation: tuple[str, Any, Any]) -> Any:
    """What an operation answers, in revisions since `base`: a swap expects the revision that many commits ago."""
    what, name, value = operation
    key = f"{at}{name}"
    if what == "put":
        return await store.commit([Put(key, value)]) - base
    if what == "delete":
        return await store.commit([Delete(key)]) - base
    if what == "swap":
        present = await store.get(key)
        expected = max(0, (present.modified if present else 0) - value)
        try:
            return await store.commit([Put(key, b"swapped")], [Expect(key, expected)]) - base
        except Conflict as e:
            return {k.removeprefix(at): max(0, v - base) for k, v in e.found.items()}
    page = await everything(store, at)
    return [(e.key.removeprefix(at), e.value, e.modified - base, e.created - base, e.version) for e in page.entries]
