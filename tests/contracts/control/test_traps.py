"""The ten traps of a control plane over etcd that cost most when it was tried out: each has a test, and here is which.

Those that were not tested where they belong anyway are below.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orlop.control.api.asked import IN_FLIGHT
from orlop.model.cluster.machine import MachineRecord
from orlop.model.cluster.names import MACHINES, Role
from orlop.store.etcd.client import EtcdStore
from orlop.store.etcd.pool import SIZE
from orlop.store.protocol import Put
from simulators.agents import Crowd, SimulatedCa, report, streamed
from tests.contracts.control.alone import RunningControl, running_control
from tests.contracts.control.served import Identity, ServedControl, server_certificate, signer_of
from tests.contracts.control.test_agent import OneAgent
from tests.contracts.control.test_joining import M1, joined
from tests.contracts.store.running import RunningMember, free_ports, running

REPOSITORY = Path(__file__).parents[3]
TRAPS = {
    "256 KiB a TLS connection": ("contracts/control/test_thousand.py", "test_a_thousand_machines_at_rest"),
    "retries without a bound, and the collapse that never heals": (
        "contracts/store/test_etcd.py", "test_many_callers_of_a_silent_store_make_few_connections",
        "contracts/control/test_traps.py", "test_a_store_that_was_slow_for_a_while_is_got_over",
    ),
    "a watch on a dead link": ("contracts/store/test_etcd.py", "test_a_dead_link_ends_a_watch_that_then_goes_on"),
    "the client's time-out decides the failover": (
        "contracts/store/test_etcd.py", "test_a_leader_dies_and_nothing_is_lost_or_told_twice",
        "contracts/store/test_etcd.py", "test_a_silent_member_is_left_for_one_that_answers",
        "contracts/store/test_etcd.py", "test_a_lost_answer_is_asked_for_again_and_known_for_ours",
    ),
    "a second connection a machine": (
        "contracts/control/test_traps.py", "test_a_machine_keeps_one_connection_and_reports_on_others",
    ),
    "the peer's certificate is looked at once": (
        "contracts/control/test_streams.py", "test_a_stream_ends_with_the_certificate",
        "contracts/control/test_streams.py", "test_a_machine_is_told_of_itself_alone_and_of_its_end",
        "contracts/control/test_traps.py", "test_no_header_says_who_or_from_where",
    ),
    "SIGTERM with streams, and those who do not read": (
        "contracts/control/test_traps.py", "test_a_process_with_streams_ends_at_once",
        "contracts/control/test_streams.py", "test_one_that_does_not_read_is_let_go",
    ),
    "certificates that change on a live listener": (
        "contracts/control/test_streams.py", "test_a_new_certificate_is_shown_and_half_a_pair_is_not",
        "contracts/control/test_traps.py", "test_an_authority_that_is_replaced_is_not_believed_any_more",
    ),
    "what the JSON gateway does silently": (
        "unit/store/test_wire.py", "test_what_is_left_out_is_zero",
        "unit/store/test_wire.py", "test_a_commit_names_fields_as_the_gateway_knows_them",
        "contracts/store/test_contract.py", "test_a_lease_lives_while_it_is_kept_and_ends_when_it_is_revoked",
        "contracts/cluster/test_certificates.py", "test_certificate_is_what_etcd_needs",
    ),
    "a removed member, and units that wait for a quorum": (
        "machines/test_cluster.py", "test_lost_server_that_comes_back_knows_that_its_place_is_taken",
        "machines/test_cluster.py", "test_all_lose_their_power_at_once_and_nothing_is_lost",
    ),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_each_has_its_tests(trap: str) -> None:
    named = TRAPS[trap]
    for file, name in zip(named[::2], named[1::2], strict=True):
        tree = ast.parse((REPOSITORY / "tests" / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, name)


class Pair:
    """A control process and its store."""

    def __init__(self, member: RunningMember, control: RunningControl, crowd: Crowd) -> None:
        self.member, self.control, self.crowd = member, control, crowd


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("traps")
    signer = signer_of(folder)
    authority = SimulatedCa(signer.certificate.read_text(), signer.key.read_text())
    (port,) = free_ports(1)
    with running(folder / "etcd", 1) as (member,), running_control(folder, signer, (member.url,), port) as control:
        crowd = Crowd(["127.0.0.1"], port, authority.certificate, 150)
        crowd.given(authority)
        asyncio.run(seed(member, crowd))
        yield Pair(member, control, crowd)


async def seed(member: RunningMember, crowd: Crowd) -> None:
    store, now = EtcdStore([member.url]), datetime.now(UTC).replace(microsecond=0)
    for begin in range(0, len(crowd.machines), 100):
        records = [MachineRecord(each.name, Role.WORKER, "h", "0" * 64, "0" * 16, now)
                   for each in crowd.machines[begin : begin + 100]]  # fmt: skip
        await store.commit([Put(MACHINES + record.machine, record.text()) for record in records])
    await store.close()


@pytest.mark.timeout(120)
def test_a_store_that_was_slow_for_a_while_is_got_over(pair: Pair) -> None:
    """All report at once to a store that says nothing: few connections are made to it, most reports are told to come
    again, and when it is there again the next ones are taken at once.
    """

    async def reported(crowd: Crowd) -> list[int]:
        async def one(machine: Any) -> int:
            try:
                return (await crowd.ask(machine, "PUT", f"/v1/machines/{machine.name}/report", report(machine)))[0]
            except (OSError, EOFError, TimeoutError):
                return 0

        return list(await asyncio.gather(*(one(machine) for machine in crowd.machines)))

    async def script() -> None:
        crowd, control = pair.crowd, pair.control
        assert set(await reported(crowd)) <= {204, 503}
        before = control.descriptors()
        pair.member.pause()
        try:
            asked = asyncio.ensure_future(reported(crowd))
            await asyncio.sleep(3)
            # its own, the reports that wait, the pool
            assert control.descriptors() <= before + IN_FLIGHT + SIZE + 20
            answers = await asked
            assert answers.count(503) >= len(crowd.machines) - IN_FLIGHT
        finally:
            pair.member.go_on()
        until = time.monotonic() + 5
        while True:
            answers = await reported(crowd)
            if answers.count(204) >= IN_FLIGHT:
                break
            assert time.monotonic() < until, answers
        assert control.is_running() and control.rss() < 120 << 20

    asyncio.run(script())


@pytest.mark.timeout(60)
def test_a_process_with_streams_ends_at_once(pair: Pair) -> None:
    """SIGTERM: each stream has its end and its pause, and nobody is waited for."""
    heard: list[str] = []

    async def one(machine: Any) -> None:
        path = f"/v1/watch/machines/{machine.name}"
        async with streamed("127.0.0.1", pair.control.port, machine.context, path) as events:
            with contextlib.suppress(EOFError, OSError):
                async for name, _, _ in events:
                    heard.append(name)

    async def script() -> float:
        tasks = [asyncio.ensure_future(one(machine)) for machine in pair.crowd.machines[:60]]
        while heard.count("state") < 60:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        asked = time.monotonic()
        os.kill(pair.control.pid, signal.SIGTERM)
        await asyncio.gather(*tasks)
        await asyncio.to_thread(pair.control.process.wait, 10)
        return time.monotonic() - asked

    assert asyncio.run(asyncio.wait_for(script(), 40)) < 2.0
    assert heard.count("bye") == 60
    assert pair.control.process.returncode in {0, -signal.SIGTERM}


def test_a_machine_keeps_one_connection_and_reports_on_others(control: ServedControl) -> None:
    """Two that are kept cost 60 KB more each, and one that idles for longer than the server waits is reset."""
    agents = [OneAgent(control, control.folder / f"a{n}") for n in range(3)]
    for agent in agents:
        for _ in range(3):
            agent.loop.turn()
    assert control.running is not None
    until = time.monotonic() + 5
    while len(control.running.server_state.connections) != len(agents):
        assert time.monotonic() < until, len(control.running.server_state.connections)
        time.sleep(0.02)
    assert control.hub.listeners == len(agents)
    for agent in agents:
        agent.loop.end()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.9.9.9", "X-Real-IP": "10.9.9.9", "Forwarded": "for=10.9.9.9"},
        {"X-SSL-Client-S-DN": "O=orlop:admin,CN=ada", "X-Client-Cert": "-----BEGIN CERTIFICATE-----", "Peer": "ada"},
        {"X-Forwarded-Proto": "http", "X-Remote-User": "ada", "Remote-User": "ada"},
    ],
)
def test_no_header_says_who_or_from_where(control: ServedControl, admin: Identity, headers: dict[str, str]) -> None:
    machine = joined(control)
    assert control.ask("GET", "/v1/machines", headers=headers)[0] == 401
    assert control.ask("GET", "/v1/machines", machine, headers=headers)[0] == 403
    entries = control.ask("GET", "/v1/audit", admin)[1]["entries"]
    assert {(e["who"], e["from"]) for e in entries} == {(f"machine {M1}", "127.0.0.1")}


def test_an_authority_that_is_replaced_is_not_believed_any_more(
    control: ServedControl, admin: Identity, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A context can only be given authorities, never relieved of one: so each handshake gets a fresh one."""
    other = signer_of(tmp_path_factory.mktemp("next"), "the next CA")
    from tests.contracts.control.served import PrivateKey

    assert control.ask("GET", "/v1/machines", admin)[0] == 200
    key = PrivateKey()
    text = asyncio.run(server_certificate(other, key, datetime.now(UTC)))
    for path, content in (
        (control.certificates.certificate, text.encode()), (control.certificates.key, key.pem),
        (control.certificates.ca, other.certificate.read_bytes()),
    ):  # fmt: skip
        path.write_bytes(content)
    assert control.certificates.reload()
    late = control.identity("late", "/O=orlop:admin/CN=eve", signer=other, life=timedelta(hours=1))
    assert control.ask("GET", "/v1/machines", late)[0] == 200
    with pytest.raises(OSError, match=r"(?i)ssl|reset|alert|eof|closed"):
        control.ask("GET", "/v1/machines", admin)
