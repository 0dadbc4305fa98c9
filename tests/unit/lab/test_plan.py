from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orlop.errors import BadInput
from orlop.lab.images import LabImage
from orlop.lab.plan import LabPlan
from orlop.machines.ports import Forward

IMAGE = LabImage(Path("/x"), "")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nodes": 0}, "--nodes 0"),
        ({"nodes": 33}, "--nodes 33"),
        ({"cpus": 0}, "--cpus 0"),
        ({"cpus": 65}, "--cpus 65"),
        ({"memory_mib": 1}, "--memory 1"),
        ({"disk_gib": 0}, "--disk 0"),
        ({"publish": (Forward(8080, 22),)}, "--publish"),
        ({"publish": (Forward(8080, 80), Forward(8081, 80))}, "--publish"),
        ({"publish": (Forward(8080, 80), Forward(8080, 81))}, "--publish"),
        ({"nodes": 2, "publish": (Forward(8080, 80), Forward(8081, 81))}, "--publish"),
        ({"nodes": 2, "publish": (Forward(65535, 80),)}, "--publish"),
        ({"is_counted": True}, "one processor"),
        ({"is_counted": True, "cpus": 1, "nodes": 2, "containers": 1}, "whole machines"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        LabPlan(IMAGE, **wrong)
    assert caught.value.hint


def test_ports_that_are_picked_may_be_many() -> None:
    plan = LabPlan(IMAGE, nodes=32, publish=(Forward(0, 80), Forward(0, 81), Forward(8080, 82)))
    assert plan.nodes == 32
