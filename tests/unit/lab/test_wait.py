"""Waiting for verdicts: real files, a real process that stands for the machine, a clock that is given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from orlop.errors import CommandFailed, TimedOut
from orlop.lab import state as records
from orlop.lab.machine import Node
from orlop.lab.paths import LabPaths
from orlop.lab.state import LabState, NodeState
from orlop.lab.wait import wait_verdict, wait_verdicts
from orlop.machines.accel import Acceleration
from orlop.machines.pids import identify
from orlop.steps import Steps
from orlop.workspace import Workspace

OLD = 'orlop-health: verdict=bad version=20261123.1 boot=aa reason="old"\r\n'
GOOD = "BdsDxe: starting Boot0001\r\northlop\r\norlop-health: verdict=good version=20261123.2 boot=bb\r\n"
BAD = GOOD.replace("verdict=good", "verdict=bad").replace("boot=bb", 'boot=bb reason="failed units: a.service"')


@pytest.fixture
def machine() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield child
    child.kill()
    child.wait()


@pytest.fixture
def node(tmp_path: Path, machine: subprocess.Popen[bytes]) -> Node:
    """A node that runs, whose console already holds an earlier boot."""
    paths = LabPaths(Workspace(tmp_path, tmp_path), "a")
    it = NodeState("n1", 1, 22000, (), 2, 512, process=identify(machine.pid), boots=(0, len(OLD)))
    records.write(paths, LabState("a", "/x", "", 1, Acceleration("tcg", ""), "/tmp/x", (it,)))
    at = paths.node("n1")
    at.folder.mkdir()
    at.console_log.write_text(OLD)
    return Node(paths, "n1")


def say(node: Node, text: str) -> None:
    with node.at.console_log.open("ab") as f:
        f.write(text.encode())


def clock(step: float) -> Callable[[], float]:
    ticks = count(0.0, step)
    return lambda: next(ticks)


def quiet() -> Steps:
    return Steps(quiet=True)


def test_a_good_verdict_of_this_boot_is_the_answer(node: Node) -> None:
    say(node, GOOD)
    assert wait_verdict(node, quiet(), timeout=5).boot == "bb"


def test_the_verdict_of_an_earlier_boot_does_not_count(node: Node) -> None:
    with pytest.raises(TimedOut, match="gave no verdict within 1 s; it came as far as: off"):
        wait_verdicts([node], quiet(), timeout=1, clock=clock(2.0))


def test_a_bad_verdict_is_an_error_with_its_reason_and_the_console(node: Node) -> None:
    say(node, BAD)
    with pytest.raises(CommandFailed, match=r"n1 judged its boot bad: failed units: a\.service") as caught:
        wait_verdict(node, quiet(), timeout=5)
    assert str(node.at.console_log) in caught.value.message
    assert "verdict=bad" in caught.value.tail


WAITS = "orlop-health: waiting up to 900 s for what is wrong around this machine: no link has an address\r\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [("BdsDxe: starting Boot0001\r\n" + WAITS, "no link has an address"), (BAD, "failed units: a.service")],
    ids=["waits", "bad"],
)
def test_in_a_hard_world_a_boot_that_waits_or_is_bad_has_said_enough(node: Node, said: str, reason: str) -> None:
    say(node, said)
    verdict = wait_verdicts([node], quiet(), timeout=5, is_world_hard=True)["n1"]
    assert (verdict.good, verdict.reason) == (False, reason)
    with pytest.raises((TimedOut, CommandFailed)):
        wait_verdicts([node], quiet(), timeout=1, clock=clock(2.0))


def test_a_hopeless_boot_is_not_waited_for(node: Node) -> None:
    say(node, "BdsDxe: starting Boot0001\r\nKernel panic - not syncing: VFS\r\n")
    with pytest.raises(CommandFailed, match="cannot come up: Kernel panic"):
        wait_verdict(node, quiet(), timeout=60)


REPORT = (
    "BdsDxe: starting Boot0001\r\n\r\n"
    "orlop-initrd: this boot failed before the system could start (emergency mode). What failed:\r\n"
    "systemd-fsck@dev-x.service loaded failed failed File System Check\r\n"
)


def test_a_boot_that_fails_in_the_initrd_is_told_with_what_failed(node: Node) -> None:
    say(node, REPORT)
    ticks = clock(1.0)

    def now() -> float:
        if (at := ticks()) == 5:
            say(node, "fsck failed with exit status 4.\r\norlop-initrd: rebooting in 10 seconds; the boot")
        return at

    with pytest.raises(CommandFailed) as caught:
        wait_verdicts([node], quiet(), timeout=60, clock=now)
    first, *others = caught.value.message.split("\n")
    assert first.startswith("n1 cannot come up: orlop-initrd: this boot failed before the system could start")
    assert others[0] == "  systemd-fsck@dev-x.service loaded failed failed File System Check"
    assert others[1] == "  fsck failed with exit status 4."


def test_last_words_that_do_not_end_are_not_waited_for(node: Node) -> None:
    say(node, REPORT)
    with pytest.raises(CommandFailed, match="loaded failed failed File System Check"):
        wait_verdicts([node], quiet(), timeout=600, clock=clock(5.0))


# both lines of one time that Linux misses timer interrupts of a processor (its rcu_check_gp_kthread_expired_fqs_timer)
WAKEUP = "[   22.4] rcu: rcu_preempt kthread timer wakeup didn't happen for 5251 jiffies! g-1199 f0x0\r\n"
ISSUE = "[   22.5] rcu: \tPossible timer handling issue on cpu=1 timer-softirq=5\r\n"
STALL = WAKEUP + ISSUE


def cycled(node: Node, then: str) -> tuple[list[str], Callable[[Node], None]]:
    """What stands for powering it off and on: its console goes on with `then`."""
    done: list[str] = []

    def cycle(it: Node) -> None:
        done.append(it.name)
        lab = records.read(node.paths)
        again = replace(lab.node("n1"), boots=(*lab.node("n1").boots, node.console_size()))
        records.write(node.paths, lab.with_node(again))
        say(node, then)

    return done, cycle


@pytest.mark.parametrize("said", [STALL * 2, WAKEUP * 2, ISSUE * 2], ids=["both", "wakeup", "issue"])
def test_a_machine_whose_emulator_lost_a_timer_is_powered_off_and_on_once(node: Node, said: str) -> None:
    say(node, "BdsDxe: starting Boot0001\r\n" + said)
    done, cycle = cycled(node, GOOD)
    found = wait_verdicts([node], quiet(), timeout=60, clock=clock(0.1), cycle=cycle)
    assert (found["n1"].boot, done) == ("bb", ["n1"])


def test_a_machine_that_stands_still_again_is_given_up(node: Node) -> None:
    say(node, "BdsDxe: starting Boot0001\r\n" + STALL * 2)
    done, cycle = cycled(node, "BdsDxe: starting Boot0001\r\n" + STALL * 2)
    with pytest.raises(TimedOut, match="gave no verdict"):
        wait_verdicts([node], quiet(), timeout=5, clock=clock(1.0), cycle=cycle)
    assert done == ["n1"]


@pytest.mark.parametrize(
    ("said", "accelerator"),
    [(STALL, "tcg"), (STALL * 2 + "\x1b[!p", "tcg"), (STALL * 2, "kvm")],
    ids=["once", "goes on", "kvm"],
)
def test_a_machine_that_is_only_slow_or_real_is_left_alone(node: Node, said: str, accelerator: str) -> None:
    records.write(node.paths, replace(records.read(node.paths), acceleration=Acceleration(accelerator, "")))
    say(node, "BdsDxe: starting Boot0001\r\n" + said)
    done, cycle = cycled(node, GOOD)
    with pytest.raises(TimedOut):
        wait_verdicts([node], quiet(), timeout=5, clock=clock(1.0), cycle=cycle)
    assert done == []


@pytest.mark.parametrize(
    ("said", "accelerator", "expected"),
    [("", "tcg", ["n1"]), ("\x1b[!p", "tcg", []), ("", "kvm", [])],
    ids=["under the loader", "in systemd", "kvm"],
)
def test_a_silent_machine_is_powered_off_and_on_only_before_its_system(
    node: Node, said: str, accelerator: str, expected: list[str]
) -> None:
    records.write(node.paths, replace(records.read(node.paths), acceleration=Acceleration(accelerator, "")))
    say(node, "BdsDxe: starting Boot0001\r\n" + said)
    done, cycle = cycled(node, GOOD)
    if expected:
        assert wait_verdicts([node], quiet(), timeout=9000, clock=clock(20.0), cycle=cycle)["n1"].boot == "bb"
    else:
        with pytest.raises(TimedOut):
            wait_verdicts([node], quiet(), timeout=900, clock=clock(20.0), cycle=cycle)
    assert done == expected


def test_a_machine_that_goes_off_is_told_with_the_end_of_its_log(node: Node, machine: subprocess.Popen[bytes]) -> None:
    node.at.qemu_log.write_text("qemu: it burned\n")
    machine.kill()
    machine.wait()
    with pytest.raises(CommandFailed, match="went off while it was starting") as caught:
        wait_verdict(node, quiet(), timeout=60)
    assert "it burned" in caught.value.tail


def test_a_late_boot_shows_the_last_lines(node: Node) -> None:
    say(node, "BdsDxe: starting Boot0001\r\nstill here\r\n")
    with pytest.raises(TimedOut, match="as far as: loader") as caught:
        wait_verdicts([node], quiet(), timeout=1, clock=clock(2.0))
    assert "still here" in caught.value.message
    assert str(node.at.console_log) in caught.value.message
