"""What a machine says of its updates, whole: as a person reads it, and as Prometheus does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orlop.errors import BadInput
from orlop.model.update import status
from orlop.model.update.decide import Health
from orlop.model.update.reboot import Immediate, Off

AT = "2026-12-01T12:00:00Z"
SLOT = {"boots": True, "tries_left": None, "failed": False, "set_aside": False}
MINE = {**SLOT, "slot": "A", "running": True, "version": "20261201.1", "root_hash": "aa", "blessed": True}
OTHER = {**SLOT, "slot": "B", "running": False, "version": "20261202.1", "root_hash": "bb", "blessed": False}
QUIET: dict[str, Any] = {
    "format": 1,
    "slots": [MINE, {**OTHER, "version": None, "boots": False}],
    "state": {"is": "idle"},
    "reason": "the newest version runs",
    "progress": None,
    "channel": "stable",
    "group": "",
    "pin": "",
    "strategy": "immediate",
    "next_window": None,
    "reboot": "",
    "reboot_lock": "free",
    "hold": "",
    "failure": "",
    "failures": 0,
    "retry_at": None,
    "checked_at": None,
    "health": {"verdict": "good", "reason": ""},
    "denied": [],
}
PROGRESS = {
    "step": "fetching",
    "done": 62_100_000,
    "total": 138_200_000,
    "received": 31_000_000,
    "reused": 5,
    "rate": 12_300_000.0,
    "seconds_left": 6.0,
}
BUSY = QUIET | {
    "slots": [MINE | {"blessed": False, "tries_left": 2}, OTHER | {"failed": True}],
    "state": {"is": "fetching", "version": "20261202.1"},
    "reason": "it is the newest",
    "progress": PROGRESS,
    "group": "workers",
    "pin": "20261202.1",
    "strategy": "window",
    "next_window": "2026-12-02T03:00:00Z",
    "reboot_lock": "held",
    "hold": "a fair",
    "failure": "no server answers",
    "failures": 3,
    "retry_at": AT,
    "checked_at": AT,
    "health": {"verdict": "bad", "reason": "a failed; b failed"},
    "hardware": ["the disk /dev/vdb is missing"],
    "wish": "20261203.1",
    "excused": [{"version": "20261202.2", "reason": "no network", "count": 1, "retry_at": AT}],
    "denied": [{"version": "20261130.1", "reason": "it is bad", "at": AT, "excerpt": "x"}],
}


def test_a_machine_that_is_well_needs_few_lines() -> None:
    assert status.lines(QUIET) == [
        "slots     A  20261201.1, running, blessed",
        "          B  empty",
        "state     idle",
        "reason    the newest version runs",
        "follows   stable, group",
        "reboot    at once",
        "health    good",
    ]


def test_a_machine_that_is_not_says_all_of_it() -> None:
    assert status.lines(BUSY) == [
        "slots     A  20261201.1, running, 2 tries left",
        "          B  20261202.1, failed",
        "state     fetching 20261202.1",
        "progress  fetching: 44 % (62.1 of 138.2 MB, 31.0 MB received), 12.3 MB/s, about 6 s left",
        "reason    it is the newest",
        "follows   stable, group workers, pinned to 20261202.1",
        "reboot    in the window from 2026-12-02T03:00:00Z, reboot lock held",
        "held      a fair",
        "checked   2026-12-01T12:00:00Z",
        "failure   no server answers (again at 2026-12-01T12:00:00Z)",
        "health    bad: a failed",
        "          b failed",
        "hardware  the disk /dev/vdb is missing",
        "then      20261203.1, which was asked for",
        "later     20261202.2  again at 2026-12-01T12:00:00Z: no network",
        "denied    20261130.1  it is bad",
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"set_aside": True}, "20261202.1, set aside"),
        ({"tries_left": 3}, "20261202.1, 3 tries left"),
        ({"boots": False}, "20261202.1, does not boot: the ESP has no UKI of it"),
        ({"blessed": True, "failed": True}, "20261202.1, blessed"),
        ({"running": True, "blessed": True}, "20261202.1, running, blessed"),
    ],
)
def test_a_slot_has_words(change: dict[str, Any], text: str) -> None:
    assert f"          B  {text}" in status.lines(QUIET | {"slots": [MINE, OTHER | change]})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reboot": "now"}, "as soon as it is staged"),
        ({"reboot": "by-hand"}, "by hand"),
        ({"strategy": "off"}, "never by itself"),
        ({"strategy": "window", "next_window": AT}, f"in the window from {AT}"),
        ({"reboot": "now", "reboot_lock": "kept"}, "as soon as it is staged, reboot lock kept"),
    ],
)
def test_when_it_reboots_has_words(change: dict[str, Any], text: str) -> None:
    assert f"reboot    {text}" in status.lines(QUIET | change)


@pytest.mark.parametrize(
    ("verdict", "reason", "rows"),
    [
        (None, "", []),
        (None, "it waits for a network", [("health", "no verdict yet: it waits for a network")]),
        ("good", "", [("health", "good")]),
        ("bad", "a; b", [("health", "bad: a"), ("", "b")]),
    ],
)
def test_health_has_a_row_for_each_thing(verdict: str | None, reason: str, rows: list[tuple[str, str]]) -> None:
    assert status.health_rows({"health": {"verdict": verdict, "reason": reason}}) == rows


@pytest.mark.parametrize(("good", "verdict"), [(None, None), (True, "good"), (False, "bad")])
def test_a_verdict_has_a_word(good: bool | None, verdict: str | None) -> None:
    assert status.health_part(Health(good, "why")) == {"health": {"verdict": verdict, "reason": "why"}}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"total": 0}, ""),
        ({"step": "verifying"}, "verifying"),
        ({"rate": 0}, "fetching: 44 % (62.1 of 138.2 MB, 31.0 MB received), about 6 s left"),
        ({"seconds_left": None}, "fetching: 44 % (62.1 of 138.2 MB, 31.0 MB received), 12.3 MB/s"),
        ({"done": 138_199_999, "rate": 0, "seconds_left": 0}, "fetching: 99 % (138.2 of 138.2 MB, 31.0 MB received), "),
    ],
)
def test_progress_has_one_line(change: dict[str, Any], text: str) -> None:
    shown = status.progress_text(QUIET | {"progress": PROGRESS | change})
    assert shown.startswith(text) and (text.endswith(", ") or shown == text)
    assert status.headline(QUIET | {"progress": PROGRESS | change}) == (shown or "the newest version runs")


def test_without_progress_the_reason_is_the_headline() -> None:
    assert status.headline(QUIET) == "the newest version runs"


def samples(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}


def test_metrics_of_a_machine_that_is_not_well() -> None:
    text = status.metrics(BUSY, ("idle", "fetching"))
    told = {name.removeprefix("orlop_update_"): value for name, value in samples(text).items()}
    assert {name: value for name, value in told.items() if "troubles" not in name} == {
        'info{version="20261201.1",channel="stable",group="workers"}': 1,
        'state{state="idle"}': 0,
        'state{state="fetching"}': 1,
        "running_blessed": 0,
        "held": 1,
        "denied_versions": 1,
        "hardware_notes": 1,
        "failures": 3,
        "boot_good": 0,
        "last_check_timestamp_seconds": 1796126400,
        "progress_bytes": 62_100_000,
        "progress_total_bytes": 138_200_000,
        "received_bytes": 31_000_000,
        "reused_bytes": 5,
    }
    names = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == 14
    assert all(f"# TYPE {name} gauge" in text and f"# HELP {name} " in text for name in names)
    assert text.endswith("\n") and "\n\n" not in text


def test_metrics_of_a_machine_that_is_well() -> None:
    told = samples(status.metrics(QUIET, ("idle",)))
    ones = {name for name, value in told.items() if value}
    assert ones == {
        'orlop_update_info{version="20261201.1",channel="stable",group=""}',
        'orlop_update_state{state="idle"}',
        "orlop_update_running_blessed",
        "orlop_update_boot_good",
    }
    nothing_runs = samples(status.metrics(QUIET | {"slots": []}, ()))
    assert nothing_runs["orlop_update_running_blessed"] == 0
    assert 'orlop_update_info{version="",channel="stable",group=""}' in nothing_runs


def test_when_it_reboots_by_itself_is_part_of_the_document() -> None:
    now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert status.strategy_part(Off(), now) == {"strategy": "off", "next_window": None}
    assert status.strategy_part(Immediate(), now) == {"strategy": "immediate", "next_window": None}
    assert status.moment(now.replace(microsecond=9)) == AT
    assert status.moment(None) is None
    assert status.moment(now.astimezone(tz=None) + timedelta(days=1)) == "2026-12-02T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "it is not valid JSON"), ("[]", "it is of another format"), ('{"format": 2}', "it is of another format")],
)
def test_what_is_no_document_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        status.parse(text, "it")
    assert status.parse('{"format": 1}', "it") == {"format": 1}


def test_a_version_is_under_way_in_some_states_only() -> None:
    assert status.under_way(BUSY, "20261202.1")
    assert not status.under_way(BUSY, "20261201.1")
    assert not status.under_way(QUIET, "20261202.1")
    assert not status.under_way(QUIET | {"state": {"is": "failed", "version": "20261202.1"}}, "20261202.1")
