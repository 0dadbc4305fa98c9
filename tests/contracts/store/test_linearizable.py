"""The store under kills and pauses, as its clients see it: three members of a real etcd, a history, the checker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from orlop.store.etcd.client import EtcdStore
from orlop.store.memory import MemoryStore
from orlop.store.protocol import Store
from tests.contracts.store.running import RunningMember
from tests.contracts.store.test_etcd import leader_of
from tests.linearizable import check
from tests.recorder import Seen, by_register, record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
REGISTERS = ["r1", "r2", "r3"]
CLIENTS = 5
SECONDS = 20.0


async def trouble(three: list[RunningMember], chance: random.Random) -> list[str]:
    """One fault after another, a majority always left; what was done."""
    done = []
    for fault in ("pause a follower", "kill the leader", "pause the leader", "kill a follower"):
        leader = await asyncio.to_thread(leader_of, three)
        victim = leader if "leader" in fault else chance.choice([each for each in three if each is not leader])
        done.append(fault)
        victim.pause() if "pause" in fault else await asyncio.to_thread(victim.kill)
        await asyncio.sleep(2.5)
        victim.go_on() if "pause" in fault else victim.start()
        await asyncio.to_thread(victim.wait)
        await asyncio.sleep(0.5)
    return done


async def recorded(three: list[RunningMember], nemesis: Any) -> tuple[list[Seen], Any]:
    over = False
    stores = []
    for n in range(CLIENTS):
        urls = [each.url for each in three[n % 3 :] + three[: n % 3]]
        stores.append(EtcdStore(urls, within=3.0))
    clients = [
        asyncio.ensure_future(record(store, f"c{n}", REGISTERS, lambda: over, n)) for n, store in enumerate(stores)
    ]
    try:
        done = await nemesis
    finally:
        over = True
        seen = [one for some in await asyncio.gather(*clients) for one in some]
        for store in stores:
            await store.close()
    return seen, done


def test_what_clients_saw_is_linearizable(
    three: list[RunningMember], record_property: Callable[[str, object], None]
) -> None:
    async def script() -> None:
        began = time.monotonic()
        seen, done = await recorded(three, trouble(three, random.Random(7)))
        lasted = time.monotonic() - began
        unsettled = sum(op.end is None for _, op in seen)
        longest = max((op.end or op.start) - op.start for _, op in seen)
        record_property("operations", len(seen))
        record_property("without an answer", unsettled)
        record_property("the longest, s", longest)
        assert len(done) == 4 and len(seen) > 20 * lasted
        assert longest > 0.3, "no fault was felt: nothing was proved"
        for register, history in by_register(seen).items():
            finding = check(history)
            assert finding.is_linearizable, (register, finding.stuck)

    asyncio.run(asyncio.wait_for(script(), 150))


class ForgetfulStore(MemoryStore):
    """Says now and then what was there a moment ago, as a follower does that is asked for what it has."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, Any] = {}

    async def get(self, key: str) -> Any:
        entry = await super().get(key)
        old = self._before.get(key)
        self._before[key] = entry
        await asyncio.sleep(0.001)
        return old if random.Random(entry.modified if entry else 0).random() < 0.1 else entry


@pytest.mark.parametrize(("kind", "is_so"), [(MemoryStore, True), (ForgetfulStore, False)])
def test_the_same_clients_find_a_store_out_that_is_not(kind: type[MemoryStore], is_so: bool) -> None:
    async def script() -> None:
        store: Store = kind()
        end = time.monotonic() + 2
        seen = await asyncio.gather(
            *(record(store, f"c{n}", REGISTERS, lambda: time.monotonic() > end, n) for n in range(CLIENTS))
        )
        findings = [check(h) for h in by_register([one for some in seen for one in some]).values()]
        assert all(f.is_linearizable for f in findings) == is_so

    with suppress(asyncio.CancelledError):
        asyncio.run(script())
