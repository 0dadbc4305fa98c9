"""The reboot lock as programs of a machine take it: from the agent's socket, which asks the real API."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.cluster.lock import ClusterLock, LockRefused, LockTaker
from orlop.model.cluster.names import LOCK_SOCKET
from orlop.net.errors import Unreachable
from orlop.node.agent.lock import ENGINE_SECONDS, NOTE, REBOOT_SECONDS, LockServer
from orlop.node.agent.reboot import take
from tests.contracts.control.served import Identity, ServedControl
from tests.contracts.control.test_agent import BOOT, OneAgent
from tests.contracts.control.test_joining import M2, joined
from tests.contracts.control.test_locks import fleet, holders
from tests.contracts.control.test_locks import take as take_by_api

NEXT = BOOT.replace("0f3c", "1f3c")
ENGINE, HAND = LockTaker.ENGINE, LockTaker.HAND


@pytest.fixture
def agent(control: ServedControl) -> Iterator[OneAgent]:
    agent = OneAgent(control, Path(control.folder / "a1"))
    socket = agent.folder / LOCK_SOCKET.lstrip("/")
    socket.parent.mkdir(parents=True)
    server = LockServer(agent.loop.lock, socket)
    server.start()
    yield agent
    server.shutdown()
    server.server_close()


def lock(agent: OneAgent, by: LockTaker) -> ClusterLock:
    return ClusterLock(by, agent.folder)


def boots(agent: OneAgent, boot: str, verdict: str = "good") -> None:
    """The machine comes up again: its agent is a new process, which has what is on the disk."""
    (agent.folder / "proc/sys/kernel/random/boot_id").write_text(f"{boot}\n")
    (agent.folder / "run/orlop/health.json").write_text(json.dumps({"verdict": verdict, "boot": boot, "reason": "x"}))
    agent.loop.lock.note = agent.loop.lock._read()


def held(control: ServedControl, admin: Identity) -> list[str]:
    return holders(control, admin)["workers"]


def test_before_it_has_joined_nobody_holds_anything(agent: OneAgent) -> None:
    with pytest.raises(LockRefused, match="has not joined its cluster yet"):
        lock(agent, ENGINE).take()
    lock(agent, ENGINE).give_back()


def test_only_root_and_its_group_may_ask(agent: OneAgent) -> None:
    assert stat.S_IMODE((agent.folder / LOCK_SOCKET.lstrip("/")).stat().st_mode) == 0o660


def test_the_engine_takes_it_and_gives_it_back(control: ServedControl, admin: Identity, agent: OneAgent) -> None:
    agent.loop.turn()
    lock(agent, ENGINE).take("3.5.16")
    lock(agent, ENGINE).take()
    assert held(control, admin) == [agent.machine]
    boots(agent, NEXT)
    agent.loop.turn()
    assert held(control, admin) == [agent.machine], "the engine says when it is over"
    lock(agent, ENGINE).give_back()
    assert held(control, admin) == []


def test_a_refusal_has_the_words_and_leaves_nothing(control: ServedControl, admin: Identity, agent: OneAgent) -> None:
    agent.loop.turn()
    other = joined(control, M2)
    assert take_by_api(control, other, M2)[0] == 200
    for by in LockTaker:
        with pytest.raises(LockRefused, match="the slot of group workers is held: w1") as e:
            lock(agent, by).take()
        assert "orlop machine unlock" in e.value.hint
    assert not agent.loop.lock.note.is_held and held(control, admin) == [M2]


def test_by_hand_it_goes_back_when_the_next_boot_is_good(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    agent.loop.turn()
    lock(agent, HAND).take()
    agent.loop.turn()
    assert held(control, admin) == [agent.machine], "it has not rebooted yet"
    boots(agent, NEXT, "bad")
    assert agent.loop.turn() <= 6, "others wait for it"
    assert held(control, admin) == [agent.machine], "it is not well"
    boots(agent, NEXT, "good")
    agent.loop.turn()
    assert held(control, admin) == []
    assert agent.said[-1] == "the reboot lock that somebody took is given back: this boot is good"


def test_by_hand_without_a_reboot_it_goes_back_too(control: ServedControl, admin: Identity, agent: OneAgent) -> None:
    agent.loop.turn()
    lock(agent, HAND).take()
    control.now[0] += REBOOT_SECONDS - timedelta(seconds=5)
    agent.loop.turn()
    assert held(control, admin) == [agent.machine]
    control.now[0] += timedelta(seconds=10)
    agent.loop.turn()
    assert held(control, admin) == []


def test_a_hand_does_not_give_back_what_the_engine_holds(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    agent.loop.turn()
    lock(agent, ENGINE).take()
    lock(agent, HAND).take()
    boots(agent, NEXT)
    agent.loop.turn()
    assert held(control, admin) == [agent.machine]
    lock(agent, ENGINE).give_back()
    assert held(control, admin) == []


def test_what_is_given_back_while_no_server_answers_is_given_back_later(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    agent.loop.turn()
    lock(agent, ENGINE).take()
    port, agent.loop._outside.port = agent.loop._outside.port, 1
    lock(agent, ENGINE).give_back()
    with pytest.raises(LockRefused, match="the control API"):
        lock(agent, ENGINE).take()
    lock(agent, ENGINE).give_back()
    agent.loop._outside.port = port
    assert held(control, admin) == [agent.machine]
    agent.loop.turn()
    assert held(control, admin) == []


@pytest.mark.parametrize("damage", ["none", "junk", "gone"])
def test_who_does_not_remember_gives_back_once(
    control: ServedControl, admin: Identity, agent: OneAgent, damage: str
) -> None:
    agent.loop.turn()
    lock(agent, ENGINE).take()
    note = agent.folder / "var" / NOTE
    if damage == "junk":
        note.write_text("{")
    elif damage == "gone":
        note.unlink()
    boots(agent, NEXT)
    agent.loop.turn()
    assert held(control, admin) == ([agent.machine] if damage == "none" else [])


def test_it_hears_from_the_engines_status_that_it_is_done(
    control: ServedControl, admin: Identity, agent: OneAgent
) -> None:
    agent.loop.turn()
    lock(agent, ENGINE).take()
    said, clock = ["held"], [0.0]
    agent.loop.lock.engine, agent.loop.lock.clock = (lambda: said[0]), (lambda: clock[0])
    lock(agent, ENGINE).take()
    clock[0] += ENGINE_SECONDS + 1
    agent.loop.turn()
    assert held(control, admin) == [agent.machine]
    said[0] = "free"
    lock(agent, ENGINE).take()
    clock[0] += ENGINE_SECONDS - 1  # what it says may be of before it asked
    agent.loop.turn()
    assert held(control, admin) == [agent.machine]
    clock[0] += 2
    agent.loop.turn()
    assert held(control, admin) == []


def test_no_agent(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="does not answer") as e:
        ClusterLock(HAND, tmp_path).take()
    ClusterLock(ENGINE, tmp_path).give_back()  # nothing waits for an agent
    assert "systemctl status orlop-agent" in e.value.hint


def test_waiting_for_it(control: ServedControl, agent: OneAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.loop.turn()
    other = joined(control, M2)
    assert take_by_api(control, other, M2)[0] == 200
    with pytest.raises(LockRefused):
        take(lock(agent, HAND), 0)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            assert fleet(control, other, "steady-state", M2)[0] == 200

    take(lock(agent, HAND), 60, sleep)
    assert len(waited) == 3 and capsys.readouterr().err.count("waiting: the slot of group workers is held") == 1
