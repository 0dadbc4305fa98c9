"""A repository with one target on its stable channel, and a machine that knows it."""

from __future__ import annotations

import pytest

from tests.simulators.repository import Repository
from tests.unit.trust.machines import Machine


@pytest.fixture
def repo() -> Repository:
    made = Repository()
    made.add_target("stable", "stable/x", b"first")
    made.publish("targets", "stable", "snapshot", "timestamp")
    return made


@pytest.fixture
def machine(repo: Repository) -> Machine:
    made = Machine(repo)
    assert made.target("stable/x") == b"first"
    repo.asked()
    return made
