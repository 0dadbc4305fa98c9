from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, Missing
from orlop.lab.conditions import Conditions, Uplink
from orlop.lab.paths import LabPaths
from orlop.lab.source import LabSource, Way
from orlop.lab.state import LabState, NodeState, dump, parse, read, write
from orlop.machines.accel import Acceleration
from orlop.machines.pids import ProcessId
from orlop.machines.ports import Forward
from orlop.workspace import Workspace

NODE = NodeState("n1", 1, 22000, (Forward(8080, 80),), 2, 2048, True, False, ProcessId(7, 99), (0, 512))
LAB = LabState("default", "/x.raw", "20261123.1", 5, Acceleration("tcg", "no"), "/tmp/x", (NODE,), True, None)

numbers = st.integers(min_value=0, max_value=2**40)
processes = st.none() | st.builds(ProcessId, numbers, numbers)
forwards = st.builds(Forward, st.integers(0, 65535), st.integers(1, 65535))
conditions = st.builds(
    Conditions,
    nic=st.sampled_from(Uplink),
    is_ipv6_only=st.booleans(),
    is_disk_slow=st.booleans(),
    sector=st.sampled_from((512, 4096)),
    is_disk_gone=st.booleans(),
    clock=st.sampled_from(("", "2035-01-01", "+3d")),
)
nodes = st.builds(
    NodeState,
    name=st.text(),
    index=numbers,
    ssh_port=numbers,
    forwards=st.lists(forwards, max_size=3).map(tuple),
    cpus=numbers,
    memory_mib=numbers,
    media=st.booleans(),
    cut=st.booleans(),
    process=processes,
    boots=st.lists(numbers, max_size=3).map(tuple),
    source=st.none()
    | st.builds(LabSource, st.sampled_from(Way), port=numbers)
    | st.just(LabSource(Way.URL, "http://a/")),
    conditions=conditions,
)
labs = st.builds(
    LabState,
    name=st.text(),
    image=st.text(),
    version=st.text(),
    created=numbers,
    acceleration=st.builds(Acceleration, st.text(), st.text()),
    run=st.text(),
    nodes=st.lists(nodes, max_size=3).map(tuple),
    demo=st.booleans(),
    switch=processes,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(labs)
def test_what_is_written_is_read(lab: LabState) -> None:
    assert parse(dump(lab)) == lab


@given(st.text() | json_values.map(json.dumps))
def test_garbage_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@given(st.sampled_from(sorted(json.loads(dump(LAB)))), json_values)
def test_a_record_with_one_wrong_value_is_refused_or_means_something(key: str, value: object) -> None:
    table = json.loads(dump(LAB))
    table[key] = value
    with suppress(BadInput):
        assert isinstance(parse(json.dumps(table)), LabState)


def test_a_record_that_does_not_say_how_many_cpus_means_two() -> None:
    raw = json.loads(dump(LAB))
    for node in raw["nodes"]:
        del node["cpus"]
    assert {node.cpus for node in parse(json.dumps(raw)).nodes} == {2}


def test_a_record_of_before_there_were_conditions_means_a_kind_world() -> None:
    raw = json.loads(dump(LAB))
    for node in raw["nodes"]:
        del node["conditions"]
    assert not any(node.conditions.is_hard for node in parse(json.dumps(raw)).nodes)


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(BadInput, match="its schema is 2, this orlop reads 1"):
        parse(dump(LAB).replace('"schema": 1', '"schema": 2'))


def test_the_record_on_disk(tmp_path: Path) -> None:
    paths = LabPaths(Workspace(tmp_path, tmp_path), "a")
    with pytest.raises(Missing, match="there is no lab 'a'"):
        read(paths)
    paths.folder.mkdir(parents=True)
    with pytest.raises(BadInput, match="half made") as caught:
        read(paths)
    assert "orlop lab down --name a" in caught.value.hint
    write(paths, LAB)
    assert read(paths) == LAB
    paths.state.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="damaged"):
        read(paths)


def test_a_node_is_found_and_replaced_by_name() -> None:
    changed = LAB.with_node(replace(NODE, cut=True))
    assert changed.node("n1").cut
    with pytest.raises(Missing, match="has no node 'n2'") as caught:
        LAB.node("n2")
    assert caught.value.hint == "its nodes: n1"
    assert LAB.node("n1").ports == (22000, 8080)
