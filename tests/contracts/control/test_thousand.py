"""A thousand simulated machines against a real control process and a real etcd: memory, time, writes, fan-out.

The figures are in docs/bench.md. The bounds here are for what is wrong whatever the computer does: memory, which a busy
one hardly changes, is that of the figure, and what takes time has much room.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from orlop.control.signing import ClusterSigner
from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.names import MACHINES, Role
from orlop.store.etcd.client import EtcdStore
from orlop.store.protocol import Put
from simulators.agents import Crowd, SimulatedCa, asked, client_context
from simulators.watchers import watching
from tests.contracts.control.alone import RunningControl, running_control
from tests.contracts.control.served import signer_of
from tests.contracts.store.running import RunningMember, free_ports, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
COUNT = 1000
MEMORY = 120 << 20
SHARE = 0.5  # of one core, however slow; the figure is in bench/cluster: 0.2
WRITES = 0.2  # a second, of one machine
STEADY_SECONDS = 20.0


@dataclass
class Place:
    etcd: RunningMember
    control: RunningControl
    authority: SimulatedCa
    signer: ClusterSigner
    folder: Path

    def admin(self) -> Any:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self.authority.sign(key.public_key(), "orlop:admin", "ada", timedelta(hours=1))
        return client_context(self.authority.certificate, signed, key)

    async def revision(self) -> int:
        store = EtcdStore([self.etcd.url])
        page = await store.page("/none/")
        await store.close()
        return page.revision

    async def seed(self) -> None:
        """The machines, as if they had joined."""
        store, now = EtcdStore([self.etcd.url]), datetime.now(UTC).replace(microsecond=0)
        names = [f"{n:032x}" for n in range(1, COUNT + 1)]
        for begin in range(0, COUNT, 100):
            records = [MachineRecord(name, Role.WORKER, f"h{name[-4:]}", "0" * 64, "0" * 16, now)
                       for name in names[begin : begin + 100]]  # fmt: skip
            await store.commit([Put(MACHINES + record.machine, record.text()) for record in records])
        await store.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("thousand")
    signer = signer_of(folder)
    authority = SimulatedCa(signer.certificate.read_text(), signer.key.read_text())
    (port,) = free_ports(1)
    with running(folder / "etcd", 1) as (member,), running_control(folder, signer, (member.url,), port) as control:
        there = Place(member, control, authority, signer, folder)
        run(there.seed())
        yield there


def run(script: Coroutine[Any, Any, None], seconds: float = 200.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await script

    asyncio.run(bounded())


def crowd_of(place: Place) -> Crowd:
    crowd = Crowd(["127.0.0.1"], place.control.port, place.authority.certificate, COUNT)
    crowd.given(place.authority)
    return crowd


def test_a_thousand_machines_at_rest(place: Place, record_property: Any) -> None:
    async def script() -> None:
        crowd = crowd_of(place)
        crowd.live()
        record_property("all listen after, s", await crowd.all_listen(90))
        await asyncio.sleep(10)
        # while a thousand connect at once some reports are told to come again, and nothing worse
        first, said = dict(crowd.counts.failures), "too many requests are on their way"
        assert all(said in why for why in first), first
        crowd.counts.failures.clear()
        spent, began, revision = place.control.processor_seconds(), time.monotonic(), await place.revision()
        reports = crowd.counts.reports
        await asyncio.sleep(STEADY_SECONDS)
        seconds = time.monotonic() - began
        share = (place.control.processor_seconds() - spent) / seconds
        writes = (await place.revision() - revision) / seconds / COUNT
        memory = place.control.rss()
        record_property("share of a core", share)
        record_property("memory, MB", memory / 1e6)
        record_property("writes a second and machine", writes)
        assert crowd.counts.failures == {}
        assert crowd.counts.reports - reports >= COUNT / 30 * seconds * 0.7
        assert memory <= MEMORY
        assert share <= SHARE
        assert 0.01 <= writes <= WRITES
        await one_is_told(place, crowd)
        await crowd.end()

    run(script())


async def one_is_told(place: Place, crowd: Crowd) -> None:
    """What is decided about one reaches that one alone, within a second."""
    name = crowd.machines[COUNT // 2].name
    crowd.counts.heard.clear()
    began = time.monotonic()
    path = f"/v1/machines/{name}/cordon"
    status, body = await asked("127.0.0.1", place.control.port, place.admin(), "PUT", path, {"reason": "disk"})
    assert status == 200, body
    async with asyncio.timeout(5):
        while not crowd.counts.heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    ((at, event, data),) = crowd.counts.heard
    assert event == "put" and data["key"] == f"machines/{name}" and at - began <= 5.0


def test_a_change_reaches_a_thousand_watchers(place: Place, record_property: Any) -> None:
    async def script() -> None:
        async with watching("127.0.0.1", place.control.port, place.authority, COUNT) as watchers:
            admin, after = place.admin(), list[float]()
            for n in range(3):
                name = f"{n + 1:032x}"
                began = time.monotonic()
                path = f"/v1/machines/{name}/cordon"
                status, body = await asked("127.0.0.1", place.control.port, admin, "PUT", path, {"reason": "fan"})
                assert status == 200, body
                after = await watchers.all_told(f"machines/{name}", began, 10)
            record_property("told after, s: half of them, all", f"{after[COUNT // 2]:.3f} {after[-1]:.3f}")
            assert after[-1] <= 5.0  # the figure is in bench/cluster: a second
            assert place.control.rss() <= MEMORY

    run(script())


@pytest.mark.long  # all of them join anew
def test_all_come_back_to_one_that_was_killed(place: Place, record_property: Any) -> None:
    """Each after a pause of its own; a thousand handshakes at once must not end what has just begun."""

    async def script() -> None:
        crowd = crowd_of(place)
        crowd.live()
        await crowd.all_listen(90)
        os.kill(place.control.pid, signal.SIGKILL)
        place.control.process.wait()
        with running_control(place.folder, place.signer, (place.etcd.url,), place.control.port) as again:
            await asyncio.sleep(0.5)
            record_property("all are back after, s", await crowd.all_listen(60))
            await asyncio.sleep(10)
            crowd.counts.failures.clear()
            await asyncio.sleep(10)
            assert crowd.counts.failures == {}
            record_property("memory after the storm, MB", again.rss() / 1e6)
            assert again.rss() <= MEMORY * 1.1
            await crowd.end()

    run(script())
