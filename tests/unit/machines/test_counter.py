"""Instructions at a moment: of a machine whose work and idleness are known, read as QEMU would be."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, Missing, TimedOut
from orlop.machines.counter import (
    PER_SECOND,
    TIMER_HERTZ,
    TIMER_PORT,
    TIMER_WRAPS,
    Counter,
    Reading,
    course,
    parse,
)

# (seconds of work, seconds of idleness), one after the other; between two readings
STEPS = st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=30)
SKEW = st.floats(0, 0.4)  # seconds of work between the halves of a reading


def reading(busy: float, idle: float, skew: float = 0.0) -> Reading:
    return Reading(0.0, round((busy + skew) * PER_SECOND), int((busy + idle) * TIMER_HERTZ) % TIMER_WRAPS)


@given(STEPS)
def test_instructions_are_the_clock_without_what_was_idle(steps: list[tuple[float, float]]) -> None:
    busy = idle = 0.0
    readings, asked = [], []
    for work, rest in steps:
        busy, idle = busy + work, idle + rest
        readings.append(reading(busy, idle))
        asked.append((busy + idle, busy * PER_SECOND))
    found = course(readings)
    for clock, executed in asked:
        assert found.instructions(clock) == pytest.approx(executed, abs=1e-5 * PER_SECOND)


@given(STEPS, st.data())
def test_work_between_the_halves_of_a_reading_is_never_taken_for_idleness(
    steps: list[tuple[float, float]], data: st.DataObject
) -> None:
    busy = idle = 0.0
    readings = []
    for work, rest in steps:
        busy, idle = busy + 0.4 + work, idle + rest
        readings.append(reading(busy, idle, data.draw(SKEW)))
    found = course([*readings, reading(busy + 0.4, idle)])
    assert found.moments[-1].idle == pytest.approx(idle, abs=1e-5)
    assert all(moment.idle <= idle + 1e-5 for moment in found.moments)


def test_between_two_readings_idleness_is_spread() -> None:
    found = course([reading(1, 0), reading(1.5, 0.5)])
    assert found.instructions(1.5) == pytest.approx(1.25 * PER_SECOND, rel=1e-5)
    assert found.instructions(0.5) == pytest.approx(0.5 * PER_SECOND, rel=1e-5)


def test_before_the_timer_is_set_up_nothing_is_idle() -> None:
    early = parse(1.0, "portl[0x0608] = 0xffffffff", {"icount": 250_000_000, "mode": "none"})
    assert early == Reading(1.0, 250_000_000, None)
    assert course([early, reading(2.0, 1.0)]).instructions(1.0) == 250_000_000


@pytest.mark.parametrize("readings", [[], [Reading(1.0, 250_000_000, None)]])
def test_a_firmware_that_puts_the_timer_elsewhere_is_told(readings: list[Reading]) -> None:
    with pytest.raises(BadInput, match="never seen at port 0x608"):
        course(readings)


@pytest.mark.parametrize(
    ("port", "replay"), [("unknown command", {"icount": 1}), ("p = 0x1", {}), (None, {"icount": 1}), ("p = 0x1", None)]
)
def test_a_qemu_that_says_something_else_is_told(port: object, replay: object) -> None:
    with pytest.raises(BadInput, match="does not tell"):
        parse(0.0, port, replay)


def test_a_machine_that_was_not_read_for_long_is_not_guessed_at() -> None:
    with pytest.raises(TimedOut, match=r"for 3\.5 s"):
        course([Reading(10.0, 0, 0), Reading(12.9, 0, 0), Reading(16.4, 0, 0)])


def test_a_machine_is_read_until_it_goes_off(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    answers = {
        "qmp_capabilities": {},
        "human-monitor-command": "portl[0x0608] = 0x0052c3f5",
        "query-replay": {"icount": 9},
    }
    heard: list[str] = []

    def serve(server: socket.socket) -> None:
        for _ in range(3):
            with server.accept()[0] as s, s.makefile("rwb") as stream:
                stream.write(b'{"QMP": {}}\n')
                stream.flush()
                for line in stream:
                    asked = json.loads(line)
                    heard.append(asked.get("arguments", {}).get("command-line") or asked["execute"])
                    stream.write(json.dumps({"return": answers[asked["execute"]]}).encode() + b"\n")
                    stream.flush()
        server.close()
        path.unlink()

    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    thread = threading.Thread(target=serve, args=(server,))
    thread.start()
    with Counter(path) as counter:
        thread.join(20)
        with pytest.raises(Missing):
            counter.read()
    assert [moment.idle for moment in counter.course().moments] == pytest.approx([0.0] + [0x52C3F5 / TIMER_HERTZ] * 3)
    assert heard[:3] == ["qmp_capabilities", f"i /w {TIMER_PORT:#x}", "query-replay"]
