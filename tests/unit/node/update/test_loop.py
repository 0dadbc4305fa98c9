"""The daemon around an engine on a simulated machine: what people ask, what they are told, when it asks to reboot."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import BadInput, Busy, OrlopError
from orlop.model.update import status
from orlop.model.update.memory import Memory
from orlop.model.update.reboot import Immediate, Off
from orlop.model.update.state import Staged, Target
from orlop.net.notify import notify
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.host import Host
from orlop.node.update.loop import GOODBYE_SECONDS, LOOK_SECONDS, WATCH_SECONDS, Loop, Pending
from orlop.node.update.requests import RequestHold
from simulators import machine as simulated
from simulators.fat import FatEsp
from simulators.medium import SECTOR
from tests.unit.node.update.loops import SECOND, V1, V2, V3, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_at_rest_says_what_runs_and_why_it_stays(machine: Machine) -> None:
    assert machine.turns() == LOOK_SECONDS
    found = machine.daemon.document()
    running, other = found["slots"]
    assert (running["slot"], running["version"], running["blessed"], running["running"]) == ("A", str(V1), True, True)
    assert (other["slot"], other["version"], other["boots"]) == ("B", None, False)
    assert found["state"] == {"is": "idle"} and found["progress"] is None
    assert found["reason"] == f"running {V1}; no release is offered to this machine"
    assert machine.told[-1] == f"STATUS={found['reason']}"
    assert status.parse(json.dumps(found), "it") == found
    assert f"A  {V1}, running, blessed" in status.lines(found)[0]


class CountedEsp(FatEsp):
    """Counts how often it is listed."""

    listed = 0

    def names(self) -> tuple[str, ...]:
        self.listed += 1
        return super().names()


def test_a_turn_with_nothing_to_do_reads_the_disk_once(machine: Machine) -> None:
    reads: list[int] = []
    machine.world.medium.before_read = reads.append
    esp = machine.world.esp = CountedEsp(simulated.windows(machine.world.medium)[0], machine.world.rng)
    machine.daemon = machine.start()
    machine.turns()
    for _ in range(3):
        reads.clear()
        esp.listed = 0
        assert machine.daemon.turn() == LOOK_SECONDS
        assert reads.count(SECTOR) == 1, "the header of the partition table"
        assert esp.listed == 1
    assert machine.daemon.document()["slots"][0]["version"] == str(V1)


def test_the_policy_has_the_last_word_on_why_nothing_is_offered(machine: Machine) -> None:
    machine.place.said = "on stable; 20261202.1 reaches this machine in about 7 h, wave 3 of 5"
    machine.turns()
    assert machine.daemon.document()["reason"] == machine.place.said
    machine.ask("hold", reason="a holiday")
    machine.turns()
    assert machine.daemon.document()["hold"] == "a holiday"


def test_an_update_by_hand_is_staged_and_asks_for_a_reboot(machine: Machine) -> None:
    machine.publish(SECOND)
    answer = machine.ask("update", to=str(V2))
    assert (answer["version"], answer["message"]) == (str(V2), f"going to {V2}")
    machine.turns()
    assert machine.asked_to_reboot
    assert machine.goodbyes == [(GOODBYE_SECONDS, "rebooting", False)], "who follows it hears of it before"
    assert machine.daemon.document()["state"]["is"] == "rebooting"
    with pytest.raises(Busy, match="is rebooting"):
        machine.ask("hold")
    assert any(line.startswith(f"fetching {V2}") for line in machine.log)


@pytest.mark.parametrize("strategy", [Off(), Immediate()])
def test_no_reboot_leaves_it_to_whoever_asked_and_asking_again_does_it(
    tmp_path: Path, strategy: Off | Immediate
) -> None:
    machine = Machine(tmp_path, strategy=strategy)
    machine.publish(SECOND)
    machine.ask("update", to=str(V2), reboot=False)
    machine.turns()
    assert isinstance(machine.world.engine.memory.state, Staged) and not machine.asked_to_reboot
    assert "the reboot was left to you" in machine.daemon.document()["reason"]
    # a daemon that starts anew has not forgotten
    machine.daemon = machine.start()
    machine.turns()
    assert not machine.asked_to_reboot
    machine.ask("update", to=str(V2))
    machine.turns()
    assert machine.asked_to_reboot, "the strategy is for updates that nobody asked for"


def test_an_update_without_a_name_takes_what_is_offered(machine: Machine) -> None:
    assert machine.ask("update")["version"] is None
    machine.publish(SECOND)
    machine.world.offered = SECOND.target
    assert machine.ask("update")["version"] == str(V2)
    machine.turns()
    assert machine.asked_to_reboot


def test_a_change_interrupts_the_writing_which_goes_on_after_it(machine: Machine) -> None:
    machine.publish(SECOND)
    hold = Pending(RequestHold("wait"))
    given, begun = machine.world.fetcher, []

    def fetcher(target: Target) -> Fetcher:
        begun.append(target)
        if not hold.done.done():
            machine.daemon._changes.put(hold)
        return given(target)

    machine.world.fetcher = fetcher  # type: ignore[method-assign]
    machine.ask("update", to=str(V2), reboot=False)
    while not hold.done.done():
        machine.daemon.turn()
    assert hold.done.result()["status"]["hold"] == "wait"
    assert len(begun) == 2
    assert machine.world.engine.memory.failures == 0
    machine.turns()
    assert isinstance(machine.world.engine.memory.state, Staged), "what was asked for by name is not held"


def test_a_change_from_another_thread_waits_for_the_loop(machine: Machine) -> None:
    got: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: got.append(machine.daemon.change(RequestHold("x"))))
    thread.start()
    while thread.is_alive():
        machine.daemon.turn()
    thread.join()
    assert got[0]["message"] == "updates are held: x"
    assert machine.ask("unhold")["status"]["hold"] == ""


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("update", {"to": "yesterday"}, "to is 'yesterday', must be a version"),
        ("update", {"too": "20261202.1"}, "too is unknown here"),
        ("update", {"reboot": "no"}, "reboot must be true or false"),
        ("update", {"to": str(V3)}, f"there is no {V3}"),
        ("update", {"to": str(V1)}, f"{V1} runs already"),
        ("rollback", {}, "there is no other version"),
        ("rollback", {"x": 1}, "x is unknown"),
        ("hold", {"reason": 7}, "reason must be text"),
        ("hold", {"reason": "\udcff"}, "reason has characters that cannot be printed"),
        ("hold", {"reason": "a\nWATCHDOG=trigger"}, "reason has more than one line"),
        ("hold", {"reason": "x" * 201}, "reason has 201 characters"),
        ("unhold", {"reason": ""}, "reason is unknown"),
        ("allow", {"version": str(V2)}, "is not on the deny list"),
        ("allow", {}, "version is missing"),
        ("reboot", {}, "nothing is called 'reboot' here"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    machine: Machine, name: str, values: dict[str, Any], says: str
) -> None:
    machine.turns()
    before = machine.world.engine.memory
    with pytest.raises(OrlopError, match=says):
        machine.ask(name, **values)
    assert machine.world.engine.memory == before


def test_text_that_an_older_version_wrote_down_ends_no_daemon(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = "\udcff\nWATCHDOG=trigger"
    machine.world.engine.journal.save(Memory(hold=wild, failure=wild))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        tell = functools.partial(notify, address=str(tmp_path / "notify"))
        daemon = Loop(machine.world.start_engine, machine.place, machine.settings, Host(machine.top), tell=tell)
        machine.world.offered = SECOND.target
        machine.publish(SECOND)
        for _ in range(3):
            daemon.turn()
        assert "are held" in daemon.document()["reason"] and "WATCHDOG=trigger" in capsys.readouterr().out
        systemd.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert b"\n" not in systemd.recv(4096)


def test_back_by_hand(machine: Machine) -> None:
    machine.publish(SECOND)
    machine.ask("update", to=str(V2))
    machine.turns()
    machine.world.boot()
    machine.daemon = machine.start()
    assert machine.turns() == WATCH_SECONDS, "a boot that is yet to be judged is watched"
    machine.world.bless()
    machine.turns()
    assert machine.daemon.document()["slots"][1]["blessed"]
    (machine.top / "run/orlop/update/reboot").unlink()
    assert machine.ask("rollback")["message"] == "the machine reboots into the other version"
    assert machine.asked_to_reboot
    machine.world.boot()
    machine.daemon = machine.start()
    machine.turns()
    found = machine.daemon.document()
    assert found["slots"][0]["running"] and found["denied"][0]["version"] == str(V2)
    assert machine.ask("allow", version=str(V2))["status"]["denied"] == []


def test_a_reboot_that_does_not_come_is_asked_for_again(machine: Machine) -> None:
    from datetime import timedelta

    machine.publish(SECOND)
    machine.ask("update", to=str(V2))
    machine.turns()
    asked = machine.top / "run/orlop/update/reboot"
    asked.unlink()
    machine.turns()
    assert not asked.exists()
    machine.world.now += timedelta(minutes=6)
    machine.turns()
    machine.turns()
    assert asked.exists()


def test_a_machine_that_broke_says_so_and_is_rebooted(machine: Machine) -> None:
    machine.turns()
    assert machine.daemon.document()["troubles"] == []
    check = {"check": "storage", "ok": False, "kind": "storage", "about": "", "reason": "/var has errors"}
    for name, text in {
        "run/orlop/watch.json": json.dumps({"boot": "ab" * 16, "checks": [check]}),
        "proc/sys/kernel/random/boot_id": "ab" * 16,
        "proc/uptime": "1000.0 900.0\n",
    }.items():
        (machine.top / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.top / name).write_text(text)
    found = machine.daemon.document()
    assert found["troubles"][0]["remedy"] == "reboot" and found["repair"].endswith("data are at risk")
    assert "now       /var has errors" in status.lines(found)
    assert 'orlop_update_troubles{kind="storage"} 1' in machine.daemon.metrics().splitlines()
    machine.daemon.turn()
    assert machine.asked_to_reboot
    assert machine.log[-2:] == ["asking the machine to reboot", found["repair"]]


def test_a_machine_that_cannot_update_says_why(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    why = "/etc/orlop/update.toml: chanel is unknown"
    daemon = Loop(
        machine.world.start_engine,
        machine.place,
        machine.settings,
        Host(tmp_path),
        problem=why,
        say=print,
        tell=machine.told.append,
    )
    assert daemon.turn() == LOOK_SECONDS
    found = daemon.document()
    assert (found["reason"], found["slots"], found["state"]) == (why, [], {"is": "idle"})
    assert "orlop_update_info" in daemon.metrics() and status.lines(found)
    machine.daemon = daemon
    with pytest.raises(BadInput, match=r"does not update: .*chanel"):
        machine.ask("update")


def test_the_progress_is_told_with_rate_and_time(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.publish(SECOND)
    now = [0.0]

    def clock() -> float:
        now[0] += 0.25
        return now[0]

    daemon = Loop(
        machine.world.start_engine, machine.place, machine.settings, Host(machine.top),
        clock=clock, say=machine.log.append, tell=machine.told.append,
    )  # fmt: skip
    machine.daemon = daemon
    machine.ask("update", to=str(V2), reboot=False)
    machine.turns()
    lines = [line for told in machine.told for line in told.splitlines() if line.startswith("STATUS=fetching: ")]
    assert lines and all("MB received" in line for line in lines)
    assert any("MB/s, about" in line for line in lines)
    progress = daemon.document()["progress"]
    assert progress["done"] == progress["total"] == SECOND.index.payload_bytes
    assert 0 < progress["received"] < progress["total"] and progress["reused"] > progress["total"] // 2
    text = daemon.metrics()
    assert 'orlop_update_state{state="staged"} 1' in text and 'orlop_update_state{state="idle"} 0' in text
    assert f"orlop_update_progress_total_bytes {progress['total']}" in text


def test_what_is_amiss_with_the_disks_is_in_the_status_and_counted(machine: Machine) -> None:
    machine.turns()
    assert "orlop_update_hardware_notes 0\n" in machine.daemon.metrics()
    notes = machine.top / "run/orlop/hardware.json"
    notes.parent.mkdir(parents=True)
    notes.write_text('["the disk vdb is missing", "the array data starts without vdb1"]')
    machine.ask("hold", reason="")
    machine.turns()
    found = machine.daemon.document()
    assert found["hardware"] == ["the disk vdb is missing", "the array data starts without vdb1"]
    assert "orlop_update_hardware_notes 2\n" in machine.daemon.metrics()
    assert [line for line in status.lines(found) if "vdb" in line] == [
        "hardware  the disk vdb is missing",
        "          the array data starts without vdb1",
    ]
