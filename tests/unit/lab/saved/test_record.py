from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.lab.saved.record import Record, dump, parse
from orlop.lab.state import LabState, NodeState
from orlop.machines.accel import Acceleration
from orlop.machines.ports import Forward

NODE = NodeState("n1", 1, 22000, (Forward(8080, 80),), 2, 2048, media=True, boots=(0, 512))
LAB = LabState("a", "base.raw", "20261128.1", 5, Acceleration("tcg", "no"), "", (NODE,), demo=True, born="/s/lab/a")
RECORD = Record("s", 7, LAB, ("n1",), "10.0.13", "", "1-ab", {"n1": "cd"}, {"n1/memory": 99})

names = st.text(max_size=9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(names, names), st.dictionaries(names, st.integers(0, 2**50)), names)
def test_what_is_written_is_read(definitions: dict[str, str], files: dict[str, int], qemu: str) -> None:
    record = Record("s", 7, LAB, (), qemu, "", "1-ab", definitions, files)
    assert parse(dump(record)) == record
    assert parse(dump(RECORD)) == RECORD


@given(st.text() | json_values.map(json.dumps))
def test_garbage_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@given(st.sampled_from(sorted(json.loads(dump(RECORD)))), json_values)
def test_a_record_with_one_wrong_value_is_refused_or_means_something(key: str, value: object) -> None:
    with suppress(BadInput):
        assert isinstance(parse(json.dumps(json.loads(dump(RECORD)) | {key: value})), Record)


def test_a_machine_that_the_lab_does_not_have_cannot_have_run() -> None:
    with pytest.raises(BadInput, match="not a list of the lab's machines"):
        parse(json.dumps(json.loads(dump(RECORD)) | {"running": ["n2"]}))
