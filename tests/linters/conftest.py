"""What reads the part of Orlop that is not Python: its shell scripts and its units. The readers are the SDK's."""

from __future__ import annotations

import pytest

from orlop.sdk import tree
from orlop.steps import Steps
from orlop.workspace import Workspace


@pytest.fixture(scope="session")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found
