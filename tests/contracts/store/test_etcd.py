"""What only a real etcd can show: members that die or fall silent, answers that are lost, alarms, its own members."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from orlop.errors import BadInput
from orlop.store.etcd.client import EtcdStore
from orlop.store.etcd.pool import Pool
from orlop.store.protocol import (
    Conflict,
    Delete,
    Expect,
    Put,
    StoreError,
    StoreFull,
    Unavailable,
    Unsettled,
)
from tests.contracts.store.proxy import between
from tests.contracts.store.running import RunningMember, free_ports

BOUND = 60.0


def run(script: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND):
            await script

    asyncio.run(bounded())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - the bound is the test's
        await asyncio.sleep(0.02)


async def fill(store: EtcdStore) -> None:
    """More than its quota."""
    for n in range(200):
        await store.commit([Put("/full", bytes([n]) * (1 << 20))])


def _asked(member: RunningMember, path: str) -> Any:
    asked = urllib.request.Request(f"{member.url}/v3/{path}", b"{}")
    with urllib.request.urlopen(asked, timeout=5) as answer:
        return json.load(answer)


def leader_of(members: list[RunningMember]) -> RunningMember:
    leader = _asked(members[0], "maintenance/status")["leader"]
    name = next(m["name"] for m in _asked(members[0], "cluster/member/list")["members"] if m["ID"] == leader)
    return next(each for each in members if each.name == name)


@asynccontextmanager
async def watching(store: EtcdStore, prefix: str, after: int) -> AsyncIterator[list[int]]:
    """The revisions that a watch tells of, as they come."""
    told: list[int] = []

    async def collect() -> None:
        async with store.watch(prefix, after=after) as batches:
            async for batch in batches:
                told.extend([batch.revision] * bool(batch.changes))

    task = asyncio.ensure_future(collect())
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_a_leader_dies_and_nothing_is_lost_or_told_twice(three: list[RunningMember]) -> None:
    async def script() -> None:
        leader = leader_of(three)
        # the leader is asked first, so that all of it has to move
        store = EtcdStore([leader.url, *(each.url for each in three if each is not leader)], silence=3.0)
        first = await store.commit([Put("/n", b"0")])
        async with watching(store, "/", first) as told:
            written = [first]

            async def write(value: bytes) -> None:
                # with an expectation it is done once, however often it is asked for
                written.append(await store.commit([Put("/n", value)], [Expect("/n", written[-1])]))

            for _ in range(10):
                await write(b"before")
            leader.kill()
            killed = time.monotonic()
            await write(b"after")
            gap = time.monotonic() - killed
            for _ in range(10):
                await write(b"more")
            del written[0]
            await until(lambda: len(told) >= len(written))
        assert told == written
        assert gap < 8.0  # half of it is etcd's election; the figure is in bench/cluster
        await store.close()

    run(script())


def test_a_silent_member_is_left_for_one_that_answers(three: list[RunningMember]) -> None:
    async def script() -> None:
        leader = leader_of(three)
        silent = next(each for each in three if each is not leader)
        store = EtcdStore([silent.url, *(each.url for each in three if each is not silent)], silence=3.0)
        first = await store.commit([Put("/n", b"0")])
        async with watching(store, "/", first) as told:
            await asyncio.sleep(0.2)
            silent.pause()
            try:
                second = await store.commit([Put("/n", b"1")], [Expect("/n", first)])
                assert (entry := await store.get("/n")) is not None and entry.modified == second
                await until(lambda: bool(told))
            finally:
                silent.go_on()
        assert told == [second]
        await store.close()

    run(script())


def test_without_a_majority_nothing_is_promised(three: list[RunningMember]) -> None:
    async def script() -> None:
        store = EtcdStore([each.url for each in three], within=3.0)
        await store.commit([Put("/n", b"0")])
        three[1].kill()
        three[2].kill()
        with pytest.raises(Unsettled, match="not known whether a write arrived"):
            await store.commit([Put("/n", b"1")])
        with pytest.raises(Unavailable, match="etcd") as raised:
            await store.get("/n")
        assert "orlop cluster status" in raised.value.hint
        for each in three[1:]:
            each.start()
        for each in three[1:]:
            each.wait()
        assert await store.get("/n") is not None
        await store.close()

    run(script())


def test_nobody_is_there() -> None:
    async def script() -> None:
        store = EtcdStore([f"http://127.0.0.1:{port}" for port in free_ports(2)], within=0.5)
        with pytest.raises(Unavailable, match=r"etcd does not answer: 127\.0\.0\.1:") as raised:
            await store.commit([Put("/n", b"0")])
        assert not isinstance(raised.value, Unsettled)  # nothing was ever sent
        await store.close()

    run(script())


@pytest.mark.parametrize("url", ["", "ftp://h:1", "https://", "https://h:port", "https://h:1/path", "h:2379"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(BadInput, match="not a valid address of etcd"):
        Pool([url])


def test_a_lost_answer_is_asked_for_again_and_known_for_ours(etcd: RunningMember) -> None:
    async def script() -> None:
        async with between(etcd.client) as way:
            store = EtcdStore([way.url])
            made = await store.commit([Put("/lost/a", b"1")])
            way.lose_answers = 1
            mine = await store.commit([Put("/lost/a", b"mine"), Delete("/lost/b")], [Expect("/lost/a", made)])
            assert way.lose_answers == 0
            assert (entry := await store.get("/lost/a")) is not None
            assert (entry.modified, entry.value, entry.version) == (mine, b"mine", 2)  # it was written once

            other = EtcdStore([etcd.url])
            await other.commit([Put("/lost/a", b"theirs")])
            with pytest.raises(Conflict):
                await store.commit([Put("/lost/a", b"again")], [Expect("/lost/a", mine)])
            way.lose_answers = 1
            with pytest.raises(Unsettled, match="not known whether"):  # it might have been there before theirs
                await store.commit([Put("/lost/a", b"again")], [Expect("/lost/a", mine)])
            await other.close()
            await store.close()

    run(script())


async def last(store: EtcdStore) -> tuple[int, bytes, int]:
    entry = await store.get("/twice/a")
    assert entry is not None
    return entry.version, entry.value, entry.modified


def test_what_may_be_done_twice_and_what_may_not(etcd: RunningMember) -> None:
    async def script() -> None:
        async with between(etcd.client) as way:
            store = EtcdStore([way.url])
            await store.commit([Put("/twice/a", b"0")])
            way.lose_answers = 1
            await store.commit([Put("/twice/a", b"1")])  # nothing is expected: asked for again, and done again
            assert (await last(store))[0] == 3
            way.lose_answers = 1
            with pytest.raises(Unsettled, match="not known whether"):
                await store.commit([Put("/twice/a", b"2")], once=True)
            version, _, modified = await last(store)
            assert version == 4
            way.lose_answers = 1
            # an expectation of another key does not keep it from being done twice
            with pytest.raises(Unsettled):
                await store.commit([Put("/twice/b", b"3")], [Expect("/twice/a", modified)], once=True)
            way.lose_answers = 1
            await store.commit([Put("/twice/a", b"4")], [Expect("/twice/a", modified)], once=True)
            assert (await last(store))[:2] == (5, b"4")
            await store.close()

    run(script())


def test_a_dead_link_ends_a_watch_that_then_goes_on(etcd: RunningMember) -> None:
    async def script() -> None:
        async with between(etcd.client) as way:
            store, direct = EtcdStore([way.url], silence=2.5), EtcdStore([etcd.url])
            first = await direct.commit([Put("/dead/a", b"0")])
            async with watching(store, "/dead/", first) as told:
                second = await direct.commit([Put("/dead/a", b"1")])
                await until(lambda: bool(told))
                way.dead = True
                third = await direct.commit([Put("/dead/a", b"2")])
                await asyncio.sleep(0.3)
                opened = way.opened
                await until(lambda: way.opened > opened)  # silence is noticed, though the connection still stands
                way.dead = False
                await until(lambda: len(told) == 2)
            assert told == [second, third]
            await store.close()
            await direct.close()

    run(script())


def test_many_callers_of_a_silent_store_make_few_connections() -> None:
    async def script() -> None:
        opened = 0

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            store = EtcdStore([f"http://127.0.0.1:{port}"], within=1.2)
            asked = [asyncio.ensure_future(store.get("/n")) for _ in range(300)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(answer, Unavailable) for answer in answers)
            assert 16 <= opened <= 16 * 6  # 16 at a time, each for half a second or what is left
            await store.close()

    run(script())


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[{}]",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"",
    ],
    ids=["ssh", "huge", "negative", "words", "bad chunk", "huge chunk", "not JSON", "a list", "404", "long", "nothing"],
)
def test_what_is_not_an_etcd_is_said_to_be_away(answer: bytes) -> None:
    async def script() -> None:
        async def junk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(junk, "127.0.0.1", 0) as server:
            store = EtcdStore([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"], within=0.5)
            with pytest.raises(StoreError):
                await store.get("/n")
            await store.close()

    run(script())


def test_a_full_store_says_so_and_reads_go_on(alone: RunningMember) -> None:
    async def script() -> None:
        store = EtcdStore([alone.url])
        with pytest.raises(StoreFull, match="space is used up") as raised:
            await fill(store)
        assert raised.value.hint
        assert await store.get("/full") is not None
        await store.close()

    run(script())
