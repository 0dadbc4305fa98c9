from __future__ import annotations

import pytest

from orlop.errors import BadInput
from orlop.lab.counted.cost import cost, difference, is_dearer, parse
from orlop.machines.counter import PER_SECOND, Course, Moment

KEPT = {"firmware": 1000.0, "kernel": 500.0}


def test_phases_follow_each_other_and_idleness_costs_nothing() -> None:
    found = cost(
        Course((Moment(0, 0), Moment(6, 0), Moment(8, 2), Moment(20, 2))),
        5.0,
        {"firmware": 0.0, "kernel": 3.0, "basic": 9.0},
    )
    assert list(found.phases) == ["firmware", "kernel", "basic"]
    assert [phase.seconds for phase in found.phases.values()] == [5.0, 3.0, 6.0]
    per = PER_SECOND / 1e6
    assert [phase.instructions for phase in found.phases.values()] == pytest.approx([5 * per, 1 * per, 6 * per])
    assert found.instructions == pytest.approx(12 * per)
    assert found.seconds == 14.0
    assert parse(found.json()) == {"firmware": 1250.0, "kernel": 250.0, "basic": 1500.0}


@pytest.mark.parametrize(("kernel", "expected"), [(500.0, False), (544.9, False), (545.1, True), (100.0, False)])
def test_a_boot_is_dearer_by_its_whole(kernel: float, expected: bool) -> None:
    assert is_dearer(KEPT | {"kernel": kernel}, KEPT, 0.03) is expected


def test_the_difference_names_each_phase_of_either() -> None:
    lines = difference({"firmware": 1000.0, "late": 90.0}, KEPT).splitlines()
    assert [line.split()[0] for line in lines] == ["now", "firmware", "kernel", "late", "to"]
    assert lines[2].split() == ["kernel", "0", "500", "-500", "-100.0%"]
    assert lines[-1].split() == ["to", "the", "answer", "1090", "1500", "-410", "-27.3%"]


@pytest.mark.parametrize("raw", [None, [], {}, {"kernel": "x"}])
def test_what_is_not_a_cost_is_refused(raw: object) -> None:
    with pytest.raises(BadInput):
        parse(raw)
