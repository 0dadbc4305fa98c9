"""What every machine test builds on: one image, and the releases made out of it.

Each file here has machines of its own and may run beside the others (scripts/machine-tests.py); `shared` is for tests
that need no more than a healthy machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.image import build
from orlop.lab import images
from orlop.lab.machine import Node
from orlop.sdk import tree
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.variants import Releases
from tests.machines import following, keeping
from tests.machines.machines import Machines

SESSION_SECONDS = float(os.environ.get("ORLOP_MACHINES_SECONDS", "3600"))
_HERE = Path(__file__).parent
_BEGUN = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.machines)
    collected = list(items)
    yield  # -k and -m leave some out here
    items[:] = following.whole(items, collected)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in keeping.said:
        terminalreporter.write_line(f"ORLOP_MACHINES_KEEP: {line}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """However slow the machines are, the session ends: what does not fit any more fails without being run."""
    if item.path.is_relative_to(_HERE) and time.monotonic() - _BEGUN > SESSION_SECONDS:
        pytest.fail("the time for the machine tests is over (ORLOP_MACHINES_SECONDS)", pytrace=False)


@pytest.fixture(scope="session")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


@pytest.fixture(scope="session")
def image(ws: Workspace) -> Path:
    """The image of today's sources, built if it is not there; `ORLOP_TEST_IMAGE` names another."""
    given = os.environ.get("ORLOP_TEST_IMAGE")
    return images.resolve(ws, given).raw.parent if given else build.build(ws, Steps())


@pytest.fixture(scope="session")
def releases(ws: Workspace, image: Path) -> Releases:
    """New releases, good and bad, made out of the image."""
    return Releases(ws, image)


@pytest.fixture
def n1(machines: Machines) -> Node:
    """The first of the machines that the file, or its folder, has."""
    return machines.n1


@pytest.fixture
def n2(machines: Machines) -> Node:
    return machines.n2
