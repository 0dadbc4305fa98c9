from __future__ import annotations

from dataclasses import replace

import pytest

from orlop.errors import BadInput, Busy
from orlop.lab.saved.record import Record
from orlop.lab.saved.restore import allocate, check
from orlop.lab.state import LabState, NodeState
from orlop.machines.accel import Acceleration
from orlop.machines.ports import FIRST, Forward

NODES = tuple(NodeState(f"n{i}", i, 22000 + i, (Forward(8000 + i, 80),), 1, 1024) for i in (1, 2))
LAB = LabState("a", "base.raw", "20261128.1", 5, Acceleration("tcg", "no"), "", NODES)
RECORD = Record("s", 7, LAB, ("n1", "n2"), "10.0.13", "", "1-ab", {"n1": "cd", "n2": "ef"})


def test_ports_are_new_and_lead_to_the_same_ports() -> None:
    taken = {node.ssh_port for node in NODES}
    given = allocate(RECORD, (), taken, FIRST)
    ports = [port for node in given for port in node.ports]
    assert len(set(ports)) == len(ports) == 4
    assert not taken & set(ports)
    assert [[f.guest for f in node.forwards] for node in given] == [[80], [80]]
    assert [replace(n, ssh_port=0, forwards=()) for n in given] == [replace(n, ssh_port=0, forwards=()) for n in NODES]


def test_ports_can_be_wished_for() -> None:
    given = allocate(RECORD, (Forward(28500, 80), Forward(0, 443)), set(), FIRST)
    assert [node.forwards[0] for node in given] == [Forward(28500, 80), Forward(28501, 80)]
    assert [node.forwards[1].guest for node in given] == [443, 443]
    with pytest.raises(Busy, match="belongs to another lab"):
        allocate(RECORD, (Forward(28500, 80),), {28501}, FIRST)


def test_another_accelerator_is_refused_where_there_are_whole_machines() -> None:
    check(RECORD, Acceleration("tcg", ""))
    with pytest.raises(BadInput, match="ran under tcg, and here machines run under kvm"):
        check(RECORD, Acceleration("kvm", "why"))
    check(replace(RECORD, definitions={}), Acceleration("kvm", "why"))
