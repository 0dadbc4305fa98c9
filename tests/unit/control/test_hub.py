"""One watch for many: what each listener is told, also when it comes back, is slow, or history is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from orlop.control import hub as hubs
from orlop.control.hub import QUEUE, Bye, Hub, Listener, Resync, Told, Word
from orlop.store.memory import MemoryStore
from orlop.store.protocol import Delete, Put


def run(script: Callable[[MemoryStore, Hub], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        store = MemoryStore()
        hub = Hub(store, "/a/")
        running = asyncio.ensure_future(hub.run())
        await hub.ready.wait()
        await script(store, hub)
        running.cancel()

    asyncio.run(whole())


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def waiting(listener: Listener) -> list[Word]:
    words = list(listener._words)
    listener._words.clear()
    return words


def all_keys(_: str) -> bool:
    return True


def test_each_is_told_what_it_wants_in_order() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        await store.commit([Put("/a/1", b"1")])
        await turns()
        with hub.listening(all_keys) as both, hub.listening(lambda key: key == "/a/2") as second:
            two = await store.commit([Put("/a/2", b"2"), Put("/a/1", b"3"), Put("/b/1", b"x")])
            three = await store.commit([Delete("/a/2")])
            await turns()
            first, *told = waiting(both)
            assert isinstance(first, Resync) and [entry.key for entry in first.entries] == ["/a/1"]
            assert [(t.revision, t.change.key) for t in told if isinstance(t, Told)] == [
                (two, "/a/2"), (two, "/a/1"), (three, "/a/2"),
            ]  # fmt: skip
            assert [type(word) for word in waiting(second)] == [Resync, Told, Told]
        assert hub.listeners == 0 and hub.get("/a/1") is not None and hub.get("/a/2") is None

    run(script)


def test_one_that_comes_back_misses_nothing() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        revisions = [await store.commit([Put("/a/1", bytes([n]))]) for n in range(5)]
        await turns()
        with hub.listening(all_keys, revisions[1]) as back:
            assert [w.revision for w in waiting(back) if isinstance(w, Told)] == revisions[2:]
        with hub.listening(all_keys, revisions[-1]) as back:
            assert waiting(back) == []
        with hub.listening(all_keys, revisions[-1] + 1) as back:  # of another store, or of the future
            assert [type(word) for word in waiting(back)] == [Resync]

    run(script)


def test_one_that_was_away_too_long_reads_all_anew() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        first = await store.commit([Put("/a/1", b"")])
        for n in range(hubs.REMEMBERED + 1):
            await store.commit([Put("/a/1", str(n).encode())])
            await turns(3)
        with hub.listening(all_keys, first) as back:
            assert [type(word) for word in waiting(back)] == [Resync]

    run(script)


def test_one_that_does_not_keep_up_is_let_go() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        with hub.listening(all_keys) as slow:
            for n in range(QUEUE + 5):
                await store.commit([Put("/a/1", str(n).encode())])
            await turns()
            assert slow.overrun
            word = await slow.next(1)
            assert isinstance(word, Bye) and "too slow" in word.reason

    run(script)


def test_all_are_told_that_the_server_stops() -> None:
    async def script(_: MemoryStore, hub: Hub) -> None:
        with hub.listening(all_keys) as one, hub.listening(all_keys) as other:
            waiting(one), waiting(other)
            hub.end("stops")
            assert await one.next(1) == await other.next(1) == Bye("stops")

    run(script)


def test_history_that_is_gone_is_read_anew(monkeypatch: Any) -> None:
    monkeypatch.setattr(hubs, "PAUSE_SECONDS", 0.0)

    async def script(store: MemoryStore, _: Hub) -> None:
        late = Hub(store, "/a/")
        await store.commit([Put("/a/1", b"")])
        running = asyncio.ensure_future(late.run())
        await late.ready.wait()
        with late.listening(all_keys) as listener:
            waiting(listener)
            # between two turns of the watch, as when a member was away for long
            last = 0
            for n in range(3):
                last = await store.commit([Put("/a/1", str(n).encode())])
            await store.compact(last)
            await turns(60)
            words = waiting(listener)
            assert words and (isinstance(words[-1], (Told, Resync)))
            now = late.get("/a/1")
            assert now is not None and now.modified == last
        running.cancel()

    run(script)


def test_an_end_is_told_also_to_one_whose_queue_is_full_and_after_what_waits() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        with hub.listening(all_keys) as full:
            for n in range(QUEUE - 1):
                await store.commit([Put("/a/1", str(n).encode())])
            await turns()
            hub.end("stops")
            words = [await full.next(1) for _ in range(QUEUE + 1)]
            assert words[-1] == Bye("stops") and Bye("stops") not in words[:-1]

    run(script)


def test_one_that_waits_is_woken_by_a_word_and_by_time_alone() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        with hub.listening(all_keys) as listener:
            await listener.next(1)
            assert await listener.next(0.001) is None
            asked = asyncio.ensure_future(listener.next(60))
            await turns()
            await store.commit([Put("/a/1", b"1")])
            assert isinstance(await asked, Told)

    run(script)


def test_a_change_is_one_object_for_all_who_are_told() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        with hub.listening(all_keys) as one, hub.listening(all_keys) as other:
            await store.commit([Put("/a/1", b"1")])
            await turns()
            assert waiting(one)[-1] is waiting(other)[-1]

    run(script)


def test_one_that_missed_more_than_its_queue_holds_reads_all_anew_and_goes_on() -> None:
    async def script(store: MemoryStore, hub: Hub) -> None:
        first = await store.commit([Put("/a/1", b"")])
        for n in range(QUEUE * 2):
            await store.commit([Put("/a/1", str(n).encode())])
        await turns()
        with hub.listening(all_keys, first) as back:
            word = await back.next(1)
            assert isinstance(word, Resync) and not back.overrun
            assert await back.next(0.001) is None

    run(script)
