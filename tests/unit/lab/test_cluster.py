from __future__ import annotations

import json

import pytest

from orlop.errors import BadInput
from orlop.lab import cluster
from orlop.lab.source import Given
from tests.unit.provision.test_sugar import decoded


def files(given: Given) -> dict[str, str]:
    """Path → text."""
    found = json.loads(given.config)["storage"]["files"]
    return {file["path"]: decoded(file["contents"]).decode() for file in found}


@pytest.mark.parametrize(("servers", "size"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (7, 5)])
def test_servers_beyond_a_size_that_makes_sense_wait(servers: int, size: int) -> None:
    made = cluster.plan("demo", servers, 2)
    assert (made.founded.size, made.servers, len(made.given)) == (size, servers, servers + 2)


def test_only_the_first_may_make_the_store_and_workers_have_no_key() -> None:
    first, second, worker = cluster.plan("demo", 2, 1).given
    assert "/etc/orlop/cluster/ca.key" in files(first).keys() & files(second).keys()
    assert files(worker).keys() == {"/etc/orlop/cluster.toml", "/etc/orlop/cluster/token"}
    assert "until" in files(first)["/etc/orlop/cluster.toml"]
    assert "until" not in files(second)["/etc/orlop/cluster.toml"]
    assert cluster.plan("demo", 1, 0).founded.servers == ("10.77.0.11",)


@pytest.mark.parametrize(("servers", "workers"), [(0, 1), (-1, 0), (1, -1)])
def test_cluster_without_a_server_is_none(servers: int, workers: int) -> None:
    with pytest.raises(BadInput, match="is not possible"):
        cluster.plan("demo", servers, workers)
