"""What etcd 3.5 really answers through its JSON gateway (recorded), read; and a server that says nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orlop.model.cluster.member import Member, StoreAlarm
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
    id_ = 10276657743932975437
    said = endpoint.status()
    assert said.clock is not None
    assert abs((said.clock - datetime.now(UTC)).total_seconds()) < 60
    alarms = frozenset([StoreAlarm("NOSPACE", id_)])
    assert replace(said, clock=None, asked=None) == MemberSaid(
        id_, id_, 48102, 118, False, 20480, 16384, (), alarms, None, "3.5.16"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "alarm"),
    [
        ("memberID:5 alarm:CORRUPT ", StoreAlarm("CORRUPT", 5)),
        ("alarm:NOSPACE ", StoreAlarm("NOSPACE", 0)),
        ("etcdserver: no leader", None),
    ],
)
def test_alarm_is_told_from_other_troubles(endpoint: Endpoint, said: str, alarm: StoreAlarm | None) -> None:
    Gateway.answers["/v3/maintenance/status"] = (200, {**STATUS, "errors": [said]})
    found = endpoint.status()
    assert found.alarms == ({alarm} if alarm else set())
    assert found.troubles == (() if alarm else (said,))


def test_store_is_looked_after(endpoint: Endpoint) -> None:
    for what in ("maintenance/alarm", "maintenance/defragment", "maintenance/transfer-leadership"):
        Gateway.answers[f"/v3/{what}"] = (200, {})
    endpoint.disarm(StoreAlarm("NOSPACE", 5))
    endpoint.defragment()
    endpoint.hand_over(7)
    assert Gateway.asked == [
        ("/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": "5", "alarm": "NOSPACE"}),
        ("/v3/maintenance/defragment", {}),
        ("/v3/maintenance/transfer-leadership", {"targetID": "7"}),
    ]
    compacted = "etcdserver: mvcc: required revision has been compacted"
    Gateway.answers["/v3/kv/compaction"] = (400, {"error": compacted, "code": 11})
    endpoint.compact(4)  # by whoever
    Gateway.answers["/v3/kv/compaction"] = (400, {"error": "etcdserver: no leader", "code": 14})
    with pytest.raises(StoreRefused):
        endpoint.compact(4)


def sent(*parts: bytes) -> bytes:
    """A snapshot on its way: one message a line."""
    left = sum(map(len, parts))
    lines = []
    for part in parts:
        left -= len(part)
        lines.append(json.dumps({"result": {"remaining_bytes": str(left), "blob": base64.b64encode(part).decode()}}))
    return "".join(f"{line}\n" for line in lines).encode()


def test_snapshot_comes_whole(endpoint: Endpoint) -> None:
    data = bytes(range(256)) * 40
    raw = data + hashlib.sha256(data).digest()
    for parts in ((raw,), (raw[:5000], raw[5000:]), (raw[:-40], raw[-40:-3], raw[-3:]), (raw[:-32], raw[-32:])):
        Gateway.answers["/v3/maintenance/snapshot"] = (200, sent(*parts))
        into = io.BytesIO()
        told: dict[int, int] = {}
        assert endpoint.snapshot(into, told.__setitem__) == len(raw)
        assert into.getvalue() == raw
        assert told[len(raw)] == 0


@pytest.mark.parametrize(
    "raw",
    [
        sent(b"x" * 100),
        sent(b"short"),
        b"",
        b"<html>\n",
        b'{"result": {"blob": 5}}\n',
        b"[]\n",
        sent(b"y" * 100)[:-1],
        b'{"error": {"message": "etcdserver: not now"}}\n',
    ],
)
def test_snapshot_that_is_none_is_said(endpoint: Endpoint, raw: bytes) -> None:
    Gateway.answers["/v3/maintenance/snapshot"] = (200, raw)
    with pytest.raises((Unreachable, StoreRefused), match=r"snapshot|not now"):
        endpoint.snapshot(io.BytesIO())


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
