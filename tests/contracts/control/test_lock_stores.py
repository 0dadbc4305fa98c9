"""The reboot lock on each store it may be in, and what etcd says of its voters: killed, frozen, without a quorum."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from orlop.control.hub import Hub
from orlop.control.locks import RebootLocks, SlotRefused
from orlop.control.records import Deed, Records
from orlop.model.cluster.access import Access, Caller
from orlop.model.cluster.lock import Refusal, StoreMembers
from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.member import member_name
from orlop.model.cluster.names import KEYS, LOCK_HOLDS, STATE, Role
from orlop.store.etcd import wire
from orlop.store.etcd.client import EtcdStore
from orlop.store.etcd.members import EtcdMembers
from orlop.store.memory import MemoryStore
from orlop.store.protocol import Store, Unavailable
from tests.contracts.store.running import RunningMember, running

NOW = datetime(2026, 12, 1, tzinfo=UTC)
NAMES = [f"{n + 1:08x}{'0' * 24}" for n in range(3)]
DEED = Deed(Caller(Access.MACHINE, NAMES[0], "certificate"), "test", "here")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningMember]]:
    with running(tmp_path_factory.mktemp("locks"), 3, [member_name(f"n{n}", NAMES[n]) for n in range(3)]) as members:
        yield members


@asynccontextmanager
async def etcd_store(etcd: list[RunningMember], within: float = 10.0) -> AsyncIterator[EtcdStore]:
    store = EtcdStore([member.url for member in etcd], within=within)
    try:
        # each test begins with an empty one
        everything = {"key": wire.text(KEYS), "range_end": wire.after_prefix(KEYS)}
        await store._read("/v3/kv/deleterange", everything)
        yield store
    finally:
        await store.close()


async def nobody() -> StoreMembers:
    return StoreMembers(())


@pytest.fixture(params=["memory", "etcd"])
def on_a_store(request: pytest.FixtureRequest) -> Callable[[Callable[[Store], Awaitable[None]]], None]:
    def run(body: Callable[[Store], Awaitable[None]]) -> None:
        async def with_store() -> None:
            if request.param == "memory":
                await body(MemoryStore())
            else:
                async with etcd_store(request.getfixturevalue("etcd")) as store:
                    await body(store)

        asyncio.run(with_store())

    return run


async def join(store: Store, machine: str, role: Role = Role.WORKER) -> None:
    await Records(store).join(MachineRecord(machine, role, f"n{machine[7]}", "ab" * 32, "t" * 16, NOW), DEED, NOW)


def test_of_many_at_once_as_many_as_there_are_slots(on_a_store: Callable[..., None]) -> None:
    async def body(store: Store) -> None:
        names = [f"{n:032x}" for n in range(10)]
        servers = [RebootLocks(store, Records(store), nobody) for _ in range(3)]  # any number of controls
        for name in names:
            await join(store, name)
        await servers[0].set_slots("workers", 4, DEED, NOW)

        async def take(n: int) -> bool:
            try:
                await servers[n % 3].take(names[n], "", "", DEED, NOW)
            except SlotRefused:
                return False
            return True

        granted: list[bool] = []
        for _ in range(2):  # and again: nobody more, nobody less
            granted = await asyncio.gather(*map(take, range(10)))
            assert sum(granted) == 4
            assert {h.machine for h in await servers[1].holds()} == {names[n] for n in range(10) if granted[n]}
        holder = next(names[n] for n in range(10) if granted[n])
        for _ in range(2):
            await servers[2].give_back(holder, DEED, NOW)
        assert sum(await asyncio.gather(*map(take, range(10)))) == 4

    on_a_store(body)


def test_a_hold_lives_as_long_as_its_machine_is_heard_of(on_a_store: Callable[..., None]) -> None:
    async def body(store: Store) -> None:
        hub = Hub(store, STATE)
        watching = asyncio.ensure_future(hub.run())
        await hub.ready.wait()
        locks = RebootLocks(store, Records(store), nobody, seconds=2)
        await join(store, NAMES[0])
        await locks.take(NAMES[0], "", "", DEED, NOW)
        for _ in range(12):
            await locks.keep(hub, NAMES[0])
            await asyncio.sleep(0.4)
        assert await store.get(LOCK_HOLDS + NAMES[0]), "it is alive"
        async with asyncio.timeout(20):
            while await store.get(LOCK_HOLDS + NAMES[0]):  # noqa: ASYNC110  nobody tells when a lease ends
                await asyncio.sleep(0.1)
        await locks.give_back(NAMES[0], DEED, NOW)  # what is gone is given back all the same
        watching.cancel()

    on_a_store(body)


def test_a_server_goes_only_when_every_other_voter_answers(etcd: list[RunningMember]) -> None:
    async def body() -> None:
        async with etcd_store(etcd, within=4.0) as store:
            locks = RebootLocks(store, Records(store), EtcdMembers(store, lambda: None))
            for name in NAMES:
                await join(store, name, Role.SERVER)

            async def refused(n: int) -> str:
                with pytest.raises(SlotRefused) as e:
                    await locks.take(NAMES[n], "", "", DEED, NOW)
                assert e.value.kind is Refusal.QUORUM
                return e.value.message

            for n in range(3):
                await locks.take(NAMES[n], "", "", DEED, NOW)
                await locks.give_back(NAMES[n], DEED, NOW)
            etcd[1].kill()
            assert await refused(0) == "the store needs this server: n1-00000002 does not answer"
            await locks.take(NAMES[1], "", "", DEED, NOW)  # the one that is not well may try a reboot
            await locks.give_back(NAMES[1], DEED, NOW)
            etcd[1].state = "existing"
            etcd[1].start()
            await asyncio.to_thread(etcd[1].wait)
            etcd[2].pause()
            try:
                assert await refused(0) == "the store needs this server: n2-00000003 does not answer"
            finally:
                etcd[2].go_on()
            await asyncio.to_thread(etcd[2].wait)
            async with asyncio.timeout(20):
                while True:
                    try:
                        await locks.take(NAMES[0], "", "", DEED, NOW)
                        break
                    except SlotRefused:
                        await asyncio.sleep(0.2)
            await refused_by_slot(locks)
            for n in (1, 2):
                etcd[n].kill()
            with pytest.raises(Unavailable):  # also for the one that holds it: there is no quorum to be asked
                await locks.take(NAMES[0], "", "", DEED, NOW)
            for n in (1, 2):
                etcd[n].state = "existing"
                etcd[n].start()
            for n in (1, 2):
                await asyncio.to_thread(etcd[n].wait)

    asyncio.run(body())


async def refused_by_slot(locks: RebootLocks) -> None:
    with pytest.raises(SlotRefused) as e:
        await locks.take(NAMES[1], "", "", DEED, NOW)
    assert e.value.kind is Refusal.SLOTS


def test_members_say_their_version(etcd: list[RunningMember]) -> None:
    async def body() -> None:
        async with etcd_store(etcd) as store:
            found = await EtcdMembers(store, lambda: None)()
            assert [voter.trouble for voter in found.voters] == [""] * 3
            assert all(voter.version.startswith("3.5.") for voter in found.voters)

    asyncio.run(body())
