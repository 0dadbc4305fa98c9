from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.store.running import RunningMember, running


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMember]:
    with running(tmp_path_factory.mktemp("etcd"), 1) as (member,):
        yield member


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[RunningMember]]:
    with running(tmp_path, 3) as members:
        yield members


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[RunningMember]:
    with running(tmp_path, 1) as (member,):
        yield member
