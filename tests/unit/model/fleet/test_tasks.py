"""What a machine does next about its units, in which order and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.fleet.records import TargetState
from orlop.model.fleet.tasks import MachineUnit, TaskKind, UnitHad, done, read, tasks

LAUNCHED, LOADED = TargetState.LAUNCHED, TargetState.LOADED


def unit(name: str, target: TargetState = LAUNCHED, **more: Any) -> MachineUnit:
    return replace(MachineUnit(name, name, "[Service]\n", "a" * 40, target, 7), **more)


def todo(want: list[MachineUnit], have: list[MachineUnit] | None = None, *, cut_off: bool = False) -> list[str]:
    had = {each.name: done(each) for each in have or []}
    found = tasks({each.name: each for each in want}, had, cut_off=cut_off)
    return [f"{task.kind.name.lower()} {task.name}: {task.why}" for task in found]


def test_what_goes_comes_first_and_what_starts_last() -> None:
    want = [unit("a.service"), unit("b.service", LOADED), unit("c.service", LOADED)]
    assert todo(want, [unit("z.service"), unit("c.service")]) == [
        "unload z.service: it is not this machine's any more",
        "load a.service: it is new here",
        "load b.service: it is new here",
        "stop c.service: it is wanted loaded, not started",
        "start a.service: it is wanted started",
    ]


CHANGES = {
    "nothing": ({}, []),
    "another text": ({"hash": "b" * 40, "text": "[Service]\nA=b\n"}, ["load", "restart"]),
    "another wish to the cluster": ({"hash": "b" * 40, "text": "[Service]\n[X-Fleet]\nReplicas=3\n"}, ["load"]),
    "a wish to restart": ({"restarts": 1}, ["restart"]),
    "another share": ({"memory": 1 << 20}, ["load"]),
    "another epoch": ({"epoch": 8}, ["load"]),
    "only loaded": ({"target": LOADED}, ["stop"]),
    "loaded with another text": ({"target": LOADED, "hash": "b" * 40, "text": "[S]\nA=b\n"}, ["load", "stop"]),
}


@pytest.mark.parametrize(("change", "kinds"), CHANGES.values(), ids=CHANGES)
def test_what_a_change_makes_it_do(change: dict[str, Any], kinds: list[str]) -> None:
    assert [line.split()[0] for line in todo([unit("a.service", **change)], [unit("a.service")])] == kinds


def test_one_that_is_cut_off_stops_only_what_says_so() -> None:
    both = [unit("keeps.service"), unit("stops.service", stops_alone=True)]
    assert todo(both, both) == []
    assert todo(both, both, cut_off=True) == ["stop stops.service: it is wanted loaded, not started"]
    had = {each.name: done(each, cut_off=True) for each in both}
    again = tasks({each.name: each for each in both}, had)
    assert [(task.kind, task.name) for task in again] == [(TaskKind.START, "stops.service")]


def test_limits_are_what_it_asked_for() -> None:
    text = unit("a@1.container", cpu=1500, memory=64 << 20).limits()
    assert text.splitlines()[1:] == [
        "[Service]", "Environment=ORLOP_UNIT=a@1.container ORLOP_EPOCH=7", "CPUWeight=150", "MemoryMax=67108864",
    ]  # fmt: skip
    assert unit("a.timer", cpu=1500).limits() == ""


_UNITS = st.lists(
    st.builds(
        unit, st.sampled_from(["a.service", "b.service", "c.container"]), st.sampled_from([LAUNCHED, LOADED]),
        hash=st.sampled_from(["a" * 40, "b" * 40]), restarts=st.integers(0, 2), stops_alone=st.booleans(),
    ), unique_by=lambda each: each.name,
)  # fmt: skip


@given(_UNITS, _UNITS, st.booleans())
def test_what_was_done_needs_not_be_done_again(
    before: list[MachineUnit], now: list[MachineUnit], cut_off: bool
) -> None:
    want, had = {each.name: each for each in now}, dict[str, UnitHad]()
    had = {each.name: done(each) for each in before}
    for task in tasks(want, had, cut_off=cut_off):
        assert task.why
        if task.kind is TaskKind.UNLOAD:
            del had[task.name]
        else:
            had[task.name] = done(want[task.name], cut_off=cut_off)
    assert tasks(want, had, cut_off=cut_off) == []


def answer(hash_of_it: str, **more: object) -> dict[str, object]:
    about = {"name": "a.service", "unit": "a.service", "text": "[Service]\n", "hash": hash_of_it, "target": "loaded"}
    numbers = {"epoch": 7, "restarts": 0, "cpu": 0, "memory": 0, "stops_alone": False}
    return {"units": [about | numbers | more]}


def test_what_is_held_back_stays_as_it_was() -> None:
    before = read(answer("a" * 40))
    assert read(answer("b" * 40), before)["a.service"].hash == "b" * 40
    held = read(answer("b" * 40, held=True, target="launched"), before)["a.service"]
    assert (held.hash, held.target) == ("a" * 40, LAUNCHED)
    assert read(answer("b" * 40, held=True, epoch=8), before)["a.service"].hash == "b" * 40, "it was away meanwhile"
    assert read(answer("b" * 40, held=True))["a.service"].hash == "b" * 40


WRONG = {
    "not an object": [],
    "no units": {},
    "a name that is a path": {"units": [{"name": "../x.service"}]},
    "a unit without a text": {"units": [{"name": "x.service"}]},
    "too long": {"units": [{"name": "x.service", "text": "x" * (1 << 17 | 1)}]},
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_work_that_cannot_be_read_is_refused(answer: object) -> None:
    with pytest.raises(BadInput):
        read(answer)
