"""A lab of both kinds: a whole machine and a container machine on one network, saved and restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import images
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.report import describe
from orlop.workspace import Workspace
from tests.machines.saved import restored

PYTHON = ("/usr/lib/orlop/runtime/usr/bin/python3.13", "-I", "-S", "-c")


@pytest.fixture(scope="module")
def both(ws: Workspace, image: Path) -> Iterator[Lab]:
    plan = LabPlan(images.resolve(ws, str(image)), "mixed", nodes=2, containers=1, cpus=1, memory_mib=1024)
    with restored(ws, plan) as there:
        yield there


def greeting(node: Node, other: str) -> str:
    """What the SSH server of the other machine says first."""
    script = f"import socket; print(socket.create_connection(({other!r}, 22), 20).recv(8).decode())"
    return node.run(*PYTHON, script).out.strip()


def test_each_reaches_the_other_by_name(both: Lab) -> None:
    assert [node.kind for node in describe(both).nodes] == ["vm", "container"]
    assert greeting(both.node("n1"), "n2") == "SSH-2.0-"
    assert greeting(both.node("n2"), "n1") == "SSH-2.0-"


def test_a_cut_is_for_one_machine(both: Lab) -> None:
    both.node("n2").cut()
    try:
        assert greeting(both.node("n2"), "n1") == ""
    finally:
        both.node("n2").heal()
    assert greeting(both.node("n2"), "n1") == "SSH-2.0-"
