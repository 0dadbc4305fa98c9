"""What `orlop config simulate` says is what a machine is: a set of configurations, on container machines of the image.

Files with modes, owners, targets and bytes; users, groups; the state of each unit; which of them run, which are kept
from it and are told so beforehand; and what a machine refuses, refused in the same stage for the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from orlop.errors import CommandFailed, Missing
from orlop.lab import images, lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.provision.translate import translate
from orlop.simulate.run import Config, Simulation, prepare, simulate
from orlop.simulate.units import GENERATED
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.simulated import WITHOUT_LIMITS, is_as_simulated

CONFIGS = Path(__file__).with_name("configs")
SECONDS = 60.0
# what a lab gives a machine so that it can be reached, and where a boot puts homes
OF_THE_LAB = frozenset(
    "/etc/hostname /home /root/.ssh /root/.ssh/authorized_keys "
    "/etc/systemd/system/sockets.target.wants/ssh.socket".split()
)
STATES = {"missing": "not-found"}  # of units: as simulate says it, as `systemctl is-enabled` does
HEAD = "variant: orlop\nversion: 1.0.0\n"


@dataclass(frozen=True)
class Pair:
    """A simulated machine, and one that has the same configuration; its verdict is "" when it is good."""

    outcome: Simulation
    node: Node
    verdict: str = ""


@dataclass(frozen=True)
class State:
    """What systemd says of a unit: `is-enabled`, and whether it runs, did, or did not want to."""

    enabled: str
    went: bool


def config(text: str) -> Config:
    result = translate(text.encode())
    assert result.ignition is not None, result.report.entries
    return Config("node.bu", result.ignition, result.root)


@contextmanager
def machine(ws: Workspace, image: Path, name: str, ignition: str) -> Iterator[tuple[Node, str]]:
    """A container machine that has come up, whatever its verdict says."""
    given = (Given(LabSource(Way.FW_CFG), ignition.encode()),)
    plan = LabPlan(images.resolve(ws, str(image)), name, containers=1, given=given)
    with suppress(Missing):  # left by a session that was killed
        lab.down(ws, name)
    verdict = ""
    try:
        try:
            lab.bring_up(ws, Steps(), plan, timeout=SECONDS, keep_failed=True)
        except CommandFailed as e:
            verdict = e.message
        yield lab.open_lab(ws, name).node("n1"), verdict
    finally:
        with suppress(Missing):
            lab.down(ws, name)


@pytest.fixture(scope="module", params=["whole", "doubtful"])
def pair(request: pytest.FixtureRequest, ws: Workspace, image: Path) -> Iterator[Pair]:
    given = config((CONFIGS / f"{request.param}.bu").read_text())
    outcome = simulate(ws, prepare(ws, Steps(), image.name), given)
    assert outcome.machine is not None, outcome.report.entries
    with machine(ws, image, f"sim-{request.param}", given.ignition) as (node, verdict):
        yield Pair(outcome, node, verdict)


def states(node: Node, units: list[str]) -> dict[str, State]:
    keys = "Id ActiveState Result InactiveExitTimestampMonotonic ConditionTimestampMonotonic ConditionResult"
    asked = " ".join(f"'{unit}'" for unit in units)
    shown = node.sh(f"systemctl show {' '.join('-p ' + key for key in keys.split())} -- {asked.replace('@.', '@x.')}")
    enabled = node.sh(f"for unit in {asked}; do systemctl is-enabled -- $unit 2> /dev/null || :; done").split()
    found = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    assert len(found) == len(enabled) == len(units), (shown, enabled)
    return {unit: State(state, _went(show)) for unit, show, state in zip(units, found, enabled, strict=True)}


def _went(shown: dict[str, str]) -> bool:
    if shown["ActiveState"] in ("active", "activating", "reloading"):
        return True
    was = shown["InactiveExitTimestampMonotonic"] != "0" and shown["Result"] == "success"
    did_not_want = shown["ConditionTimestampMonotonic"] != "0" and shown["ConditionResult"] == "no"
    return shown["ActiveState"] == "inactive" and (was or did_not_want)


def test_every_file_and_account(pair: Pair) -> None:
    assert pair.outcome.machine is not None
    own = (WITHOUT_LIMITS | OF_THE_LAB) - set(pair.outcome.machine.root)
    is_as_simulated(pair.node, pair.outcome.machine, own, tops=("etc", "home", "opt", "root"))
    below_var = {p: e for p, e in pair.outcome.machine.root.items() if p.startswith("/var/lib/app")}
    listed = pair.node.sh("find /var/lib/app -printf '%p|%m|%U|%G|%l\\n' 2> /dev/null || :").split()
    assert set(listed) == {f"{p}|{e.mode:o}|{e.uid}|{e.gid}|{e.target}" for p, e in below_var.items()}


def test_every_unit_is_switched_as_it_was_said(pair: Pair) -> None:
    assert pair.outcome.machine is not None
    units = pair.outcome.machine.units
    found = states(pair.node, [unit.name for unit in units])
    expected = {u.name: "generated" if u.made_from else STATES.get(u.state, u.state) for u in units}
    assert {name: state.enabled for name, state in found.items()} == expected


def test_what_quadlet_makes_is_what_it_was_said_to_make(pair: Pair) -> None:
    assert pair.outcome.machine is not None
    made = {p for p, e in pair.outcome.machine.generated.items() if p.endswith(".service")}
    links = {(p, e.target) for p, e in pair.outcome.machine.generated.items() if e.target}
    there = pair.node.sh(f"grep -l SourcePath=/etc/containers {GENERATED}*.service || :")
    assert made - {p for p, _ in links} == set(there.split())
    for path, target in links:
        assert pair.node.sh(f"readlink {path}").strip() == target


def test_what_runs_is_what_was_not_doubted(pair: Pair) -> None:
    """Every unit that is to be started has run, unless a doubt was said to stop it; then it has not."""
    assert pair.outcome.machine is not None
    stopped = {unit for doubt in pair.outcome.doubts for unit in doubt.stops}
    later = {"at-the-end.service"}  # it runs when the machine goes down
    started = [u.name for u in pair.outcome.machine.units if u.state in ("enabled", "missing") and u.name not in later]
    found = states(pair.node, [*started, *(stopped - set(started))])
    assert {name for name, state in found.items() if not state.went} == stopped


def test_the_verdict_agrees(pair: Pair) -> None:
    """Whoever was told of no doubt has a good machine; a bad verdict names nothing that was not doubted."""
    stopped = {unit for doubt in pair.outcome.doubts for unit in doubt.stops}
    assert bool(pair.verdict) == bool(stopped)
    reason = pair.verdict.partition("(its console")[0]
    named = set(re.findall(r"[\w@.-]+\.(?:service|socket|timer|path)", reason))
    assert named <= stopped | {"nowhere.service", "docker.service", "masked.service", "lost.service", "nowhere.socket"}


# what a machine refuses: the body of a configuration, the stage, and words of the reason
REFUSED = [
    ("storage: {files: [{path: /etc/tmpfiles.d/x.conf, contents: {inline: \"dd /etc/made 0750\\n\"}}]}",
     "tmpfiles", "Unknown modifiers in command"),
    ("storage: {files: [{path: /etc/passwd, contents: {inline: x}}]}", "files", "exists"),
    ("passwd: {users: [{name: a, groups: [nope]}]}", "files", "group 'nope' does not exist"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "stage", "reason"), REFUSED)
def test_what_a_machine_refuses_was_refused(ws: Workspace, image: Path, body: str, stage: str, reason: str) -> None:
    given = config(HEAD + body + "\n")
    outcome = simulate(ws, prepare(ws, Steps(), image.name), given)
    (entry,) = outcome.report.entries
    assert (outcome.machine, entry.severity.value) == (None, "error")
    assert entry.message.startswith(f"the stage {stage} fails: ")
    assert reason in entry.message
    with machine(ws, image, "sim-refused", given.ignition) as (_, verdict):
        assert f"stage {stage} failed: " in verdict
        assert reason in verdict
        assert f"what to do: {entry.hint}" in verdict or stage == "files"
