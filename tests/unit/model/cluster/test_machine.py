"""Records and reports of machines: there and back, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.cluster.machine import AWAY, MachineRecord, MachineReport, machine_trouble, presence
from orlop.model.cluster.names import Role

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
HEX = "0123456789abcdef"
LINES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40)
RECORDS = st.builds(
    MachineRecord,
    machine=st.text(HEX, min_size=32, max_size=32),
    role=st.sampled_from(Role),
    host=LINES,
    key=st.text(HEX, min_size=64, max_size=64),
    token=st.text(HEX, min_size=16, max_size=16),
    joined=st.integers(0, 4 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    cordoned=st.one_of(st.just(""), LINES),
)
REPORT = MachineReport("1" * 32, "b" * 36, "20261201.1", "good", "", ("10.0.0.1",), NOW)


@given(record=RECORDS)
def test_a_record_comes_back_as_it_was(record: MachineRecord) -> None:
    assert MachineRecord.read(record.text()) == record


def test_a_report_comes_back_as_it_was() -> None:
    assert MachineReport.read(REPORT.text()) == REPORT


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "another format"),
        ({"machine": "x"}, "not a valid name of a machine"),
        ({"verdict": "splendid"}, "verdict"),
        ({"addresses": ["10.0.0.1"] * 17}, "at most 16"),
        ({"reason": "two\nlines"}, "reason"),
        ({"more": 1}, "more"),
        ({"at": "yesterday"}, "at"),
    ],
    ids=["schema", "machine", "verdict", "addresses", "reason", "more", "at"],
)
def test_reports_that_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        MachineReport.read(json.dumps(REPORT.shown() | changes).encode())


def test_how_a_machine_is() -> None:
    assert presence(None, NOW) == "new: it has not reported yet"
    assert presence(REPORT, NOW + AWAY) == "good"
    assert presence(REPORT, NOW + AWAY + timedelta(seconds=1)) == "away: last heard of 101 s ago"


@pytest.mark.parametrize("name", ["", "1" * 31, "1" * 33, "G" * 32, "A" * 32, "../" + "1" * 29, "１" * 32])
def test_names_that_are_none(name: str) -> None:
    assert "32 hexadecimal digits" in machine_trouble(name)
