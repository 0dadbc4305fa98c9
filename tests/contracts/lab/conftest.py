"""Labs of machines that have nothing but their firmware: the real QEMU and the real switch, in a second.

A disk with an empty partition table boots no system. State lives in a folder of its own: labs of the developer are not
touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import lab
from orlop.lab.images import LabImage
from orlop.machines.pids import find
from orlop.machines.tools import PROGRAMS
from orlop.processes import run
from orlop.sdk import tree
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace


@pytest.fixture(scope="module")
def shared() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


@pytest.fixture
def ws(shared: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """The same SDK, its own labs; whatever a test leaves is an error and is removed."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "sdk").symlink_to(shared.sdk)
    own = Workspace(shared.root, state)
    yield own
    left = lab.names(own)
    for name in left:
        lab.down(own, name)
    assert left == []
    assert find(PROGRAMS, [state]) == []
    assert not (state / "lab").exists()


@pytest.fixture
def image(ws: Workspace, tmp_path: Path) -> LabImage:
    raw = tmp_path / "orlop_20260101.1.raw"
    raw.touch()
    os.truncate(raw, 64 << 20)
    table = in_sdk(ws, ["sfdisk", "-q", raw], binds=[tmp_path])
    run(table, what="making a disk with an empty partition table", stdin=b"label: gpt\n", timeout=30)
    return LabImage(raw, "20260101.1")
