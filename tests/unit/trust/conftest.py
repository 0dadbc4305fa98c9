"""A repository with one target on its stable channel, and a machine that knows it."""

from __future__ import annotations

import pytest

from simulators.repository import RepositorySimulator
from tests.unit.trust.machines import Machine


@pytest.fixture
def repo() -> RepositorySimulator:
    made = RepositorySimulator()
    made.add_target("stable", "stable/x", b"first")
    made.publish("targets", "stable", "snapshot", "timestamp")
    return made


@pytest.fixture
def machine(repo: RepositorySimulator) -> Machine:
    made = Machine(repo)
    assert made.target("stable/x") == b"first"
    repo.asked()
    return made
