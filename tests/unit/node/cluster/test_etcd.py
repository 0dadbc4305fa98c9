"""What etcd 3.5 really answers through its JSON gateway (recorded), read; and a server that says nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.model.cluster.member import Member
from orlop.net.errors import Unreachable
from orlop.node.cluster import tls
from orlop.node.cluster.etcd import Endpoint, MemberSaid, StoreRefused
from tests.unit.node.cluster.gateway import LOOPBACK, MEMBERS, STATUS, Gateway, encoded, gateway, make_certificate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    return folder


@pytest.fixture
def endpoint(folder: Path) -> Iterator[Endpoint]:
    with gateway(folder) as port:
        yield Endpoint(LOOPBACK, tls.context(folder), 5.0, port)


def test_members_are_read_though_zero_values_are_left_out(endpoint: Endpoint) -> None:
    Gateway.answers["/v3/cluster/member/list"] = (200, MEMBERS)
    found = endpoint.members()
    assert found.cluster == 14841639068965178418
    assert found.members == (
        Member(10276657743932975437, "n1-c5d89343", "https://10.0.0.1:2380"),
        Member(18249187646912138824, "", "https://10.0.0.2:2380", is_learner=True),
    )
    assert Gateway.asked == [("/v3/cluster/member/list", {"linearizable": True})]


def test_status_is_read(endpoint: Endpoint) -> None:
    Gateway.answers["/v3/maintenance/status"] = (200, STATUS)
    trouble = "memberID:10276657743932975437 alarm:NOSPACE "
    id_ = 10276657743932975437
    assert endpoint.status() == MemberSaid(id_, id_, 48102, 118, False, 20480, 16384, (trouble,))


def test_keys_are_read_and_written(endpoint: Endpoint) -> None:
    Gateway.answers["/v3/kv/range"] = (200, {"header": {}, "kvs": [{"key": encoded("/a/b"), "value": encoded("3")}]})
    Gateway.answers["/v3/lease/grant"] = (200, {"ID": "7587", "TTL": "15"})
    Gateway.answers["/v3/kv/put"] = (200, {"header": {"revision": "4"}})
    assert endpoint.get("/a/b") == "3"
    assert endpoint.below("/a/") == {"b": "3"}
    endpoint.put("/a/c", "x", seconds=15)
    assert Gateway.asked[1][1] == {"key": encoded("/a/"), "range_end": encoded("/a0"), "limit": "1000"}
    assert Gateway.asked[-1][1] == {"key": encoded("/a/c"), "value": encoded("x"), "lease": "7587"}


def test_key_without_a_value_is_one_that_is_there(endpoint: Endpoint) -> None:
    Gateway.answers["/v3/kv/range"] = (200, {"header": {}, "kvs": [{"key": encoded("/a/b")}]})
    assert endpoint.get("/a/b") == ""
    Gateway.answers["/v3/kv/range"] = (200, {"header": {}})
    assert endpoint.get("/a/b") is None


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (
            400,
            {"error": "etcdserver: too many learner members in cluster", "code": 9},
            "too many learner members in cluster",
        ),
        (503, {"message": "etcdserver: rpc not supported for learner", "code": 14}, "not supported for learner"),
        (400, {"message": "etcdserver: can only promote a learner member which is in sync with leader"}, "in sync"),
    ],
)
def test_refusal_has_the_words_of_etcd(endpoint: Endpoint, status: int, answer: Any, said: str) -> None:
    Gateway.answers["/v3/cluster/member/promote"] = (status, answer)
    with pytest.raises(StoreRefused, match=said):
        endpoint.promote(1)


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", b"\xff"])
def test_answer_that_is_none_is_no_answer(endpoint: Endpoint, answer: bytes) -> None:
    Gateway.answers["/v3/cluster/member/list"] = (200, answer)
    with pytest.raises((Unreachable, StoreRefused)):
        endpoint.members()


def test_server_that_says_nothing_is_left_within_its_time(folder: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(Unreachable):
            Endpoint(LOOPBACK, tls.context(folder), 0.3, silent.getsockname()[1]).members()
        assert time.monotonic() - begun < 3.0
