"""One lab of machines that have booted, for all the tests of this folder, which the machine-test runner keeps in one
session. Two of them run.

Why shared: one costs seconds, a boot of it a minute without KVM. Tests leave a machine as they found it, up and plugged
in. When the session ends, the console of every machine is read from its first byte, and any line that should not be
there is an error, unless a test said that it would cause it (`Machines.expect`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.workspace import Workspace
from tests.machines.machines import LAB, Machines
from tests.machines.three import three


@pytest.fixture(scope="session")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    with three(ws, image, LAB, on=2) as there:
        yield there
