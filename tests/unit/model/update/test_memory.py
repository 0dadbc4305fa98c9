from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.update.memory import ASKED, FREE, HELD, KEPT, MAX_EXCERPT, Denied, Excused, Memory, decode, encode
from orlop.model.update.state import Idle, Rebooting, Staged, Target
from orlop.model.words.line import MAX_FAILURE, MOST, line
from orlop.model.words.version import Version

V1, V2 = Version.parse("20261201.1"), Version.parse("20261202.1")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
targets = st.builds(Target, st.sampled_from([V1, V2]), st.just("ab" * 32), st.sampled_from(["newer", "named"]))
lines = st.text().map(line)
moments = st.none() | st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))
memories = st.builds(
    Memory,
    state=st.just(Idle()) | st.builds(Staged, targets) | st.builds(Rebooting, targets, st.just(V1)),
    denied=st.lists(st.builds(Denied, st.just(V2), lines, st.just(NOW), st.text()), max_size=2).map(tuple),
    hold=lines, offer=st.none() | targets, checked_at=moments, failure=lines, failures=st.integers(0, 99),
    retry_at=moments, reboot_wanted_at=moments, lock=st.sampled_from([FREE, ASKED, HELD, KEPT]),
    wish=st.none() | targets,
    excused=st.lists(st.builds(Excused, st.just(V1), lines, st.integers(1, 9), st.just(NOW)), max_size=1).map(tuple),
)  # fmt: skip


@given(memories)
def test_a_memory_is_read_back(memory: Memory) -> None:
    assert decode(encode(memory)) == memory


@given(st.text(st.characters(), max_size=2 * MOST))
def test_text_from_outside_becomes_a_line(text: str) -> None:
    made = line(text)
    assert len(made) <= MOST and made.isprintable() and line(made) == made
    assert made == text or not text.isprintable() or len(text) > MOST


def test_what_an_older_version_wrote_down_is_read_as_lines() -> None:
    wild = "\udcff\nWATCHDOG=trigger\x1b[2J" + "x" * 70_000
    found = decode(encode(Memory(hold=wild, failure=wild, denied=(Denied(V2, wild, NOW),), failures=3)))
    assert found.failures == 3
    for text in (found.hold, found.failure, found.denied[0].reason):
        assert text.startswith("\N{REPLACEMENT CHARACTER} WATCHDOG=trigger") and text.isprintable()
        assert len(text) <= MAX_FAILURE


@given(memories, st.data())
def test_a_field_that_is_wrong_is_refused(memory: Memory, data: st.DataObject) -> None:
    values: dict[str, Any] = encode(memory)
    values[data.draw(st.sampled_from(sorted(values)))] = data.draw(st.sampled_from([3.5, [7], {"is": 1}, True]))
    with contextlib.suppress(BadInput):
        assert encode(decode(values)) == values


def test_what_was_counted_ends_with_the_state() -> None:
    memory = Memory(state=Idle()).failed("no route", NOW).failed("no route", NOW)
    assert (memory.failures, memory.retry_at) == (2, NOW)
    staged = Staged(Target(V2, "ab" * 32))
    moved = memory.to(staged)
    assert moved.state == staged
    assert (moved.failures, moved.retry_at, moved.failure) == (0, None, "no route")


def test_an_excused_version_is_tried_again_ever_later() -> None:
    memory, pauses = Memory(), []
    for _ in range(7):
        memory = memory.excuse(V1, "no DHCP", NOW)
        excused = memory.excuses(V1)
        assert excused is not None and excused.waits(NOW) and not excused.waits(excused.retry_at)
        pauses.append((excused.retry_at - NOW).total_seconds() / 3600)
    assert pauses == [1, 2, 4, 8, 16, 24, 24]
    assert memory.excuse(V2, "x", NOW).proven(V1).excused == memory.excuse(V2, "x", NOW).excused[1:]
    assert memory.allow(V1).excused == memory.deny(Denied(V1, "x", NOW)).excused == ()


def test_the_deny_list() -> None:
    memory = Memory().deny(Denied(V2, "it hung", NOW, "x" * 9999)).deny(Denied(V2, "again", NOW))
    entry = memory.denies(V2)
    assert entry is not None and (entry.reason, len(entry.excerpt)) == ("it hung", MAX_EXCERPT)
    assert memory.allow(V2).denied == ()
    with pytest.raises(BadInput, match="not on the deny list") as e:
        memory.allow(V1)
    assert "20261202.1" in e.value.hint
