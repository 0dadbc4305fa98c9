"""What is done about a machine that breaks while it runs: a table of cases."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from orlop.model.update import ailing
from orlop.model.update.blame import KINDS
from orlop.model.update.reboot import Immediate, Off, Strategy, Window
from orlop.model.update.repair import CURES, LASTS, UP, UP_IN_DANGER, Remedy, Repair, Trouble, wanted, when

HEALTH = Path(__file__).parents[4] / "os/mkosi.extra/usr/lib/orlop"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
WINDOW = Window(frozenset(range(7)), time(2), timedelta(hours=1), ZoneInfo("UTC"))
SECOND = timedelta(seconds=1)
ERRORS, STORE, FULL = Trouble("storage", "errors"), Trouble("podman", "no answer", LASTS), Trouble("var", "full", UP)
DANGER, CALM = Repair("errors", danger=True), Repair("no answer", danger=False)


@pytest.mark.parametrize(
    ("troubles", "up", "expected"),
    [
        ((), UP, None),
        ((FULL, Trouble("workload:web.service", "failed", UP), Trouble("network", "x", UP)), UP, None),
        ((Trouble("time", "x", UP), Trouble("system:a.service", "x", UP), Trouble("unheard-of", "x", UP)), UP, None),
        ((ERRORS,), UP_IN_DANGER, DANGER),
        ((ERRORS,), UP_IN_DANGER - SECOND, None),
        ((STORE,), UP, CALM),
        ((STORE,), UP - SECOND, None),
        ((Trouble("podman", "no answer", LASTS - SECOND),), UP, None),
        ((STORE, FULL, ERRORS), UP, DANGER),
        ((STORE, ERRORS), UP_IN_DANGER, DANGER),
    ],
)
def test_when_a_reboot_is_wanted(troubles: tuple[Trouble, ...], up: timedelta, expected: Repair | None) -> None:
    assert wanted(troubles, up) == expected


@pytest.mark.parametrize(
    ("repair", "strategy", "hour", "sessions", "now", "reason"),
    [
        (DANGER, Immediate(), 12, 0, True, "errors: rebooting at once, data are at risk"),
        (DANGER, WINDOW, 12, 3, True, "errors: rebooting at once"),
        (DANGER, Off(), 12, 0, False, "errors; the reboot strategy is off: reboot this machine"),
        (CALM, Immediate(), 12, 0, True, "no answer; a reboot mends it: the reboot strategy is immediate"),
        (CALM, Immediate(), 12, 1, False, "no answer; a reboot mends it: somebody is logged in"),
        (CALM, WINDOW, 12, 0, False, "the next reboot window opens 2026-12-02 02:00 UTC"),
        (CALM, WINDOW, 2, 0, True, "inside the reboot window"),
        (CALM, Off(), 12, 0, False, "reboot this machine"),
    ],
)
def test_when_it_is_done(repair: Repair, strategy: Strategy, hour: int, sessions: int, now: bool, reason: str) -> None:
    found = when(repair, strategy, NOW.replace(hour=hour), sessions)
    assert found.now is now and reason in found.reason
    assert found.locked is (repair == CALM and strategy != Off())


def test_each_kind_has_one_cure_and_the_machine_starts_the_same_again() -> None:
    assert set(CURES) == set(KINDS)
    text = (HEALTH / "health-kinds").read_text()
    restarted = re.search(r'^RESTARTED="(.*)"', text, re.MULTILINE)
    assert restarted is not None
    assert set(restarted[1].split()) == {kind for kind, cure in CURES.items() if cure.remedy is Remedy.RESTART}


def test_what_is_said_of_it() -> None:
    troubles = (STORE, Trouble("system:a.service", "failed: a b"), Trouble("system:b.service", "failed: a b"))
    doc = ailing.part(troubles, CALM, Off(), NOW)
    assert doc["troubles"][1] == {
        "kind": "system", "about": "a.service", "reason": "failed: a b", "remedy": "restart", "seconds": 0,
    }  # fmt: skip
    assert ailing.sentences(doc) == [
        "no answer",
        "failed: a b (it is started again)",
        "no answer; the reboot strategy is off: reboot this machine",
    ]
    assert dict(ailing.samples(doc)) == {f'{{kind="{k}"}}': {"podman": 1, "system": 2}.get(k, 0) for k in KINDS}
    assert ailing.sentences({}) == ailing.sentences(ailing.part((), None, Off(), NOW)) == []
