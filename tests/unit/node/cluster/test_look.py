"""One look: whom a server believes, and for how long others have been silent."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.model.cluster.actions import Form, LeaveAlone, Start
from orlop.model.cluster.decide import decide
from orlop.model.cluster.member import MemberSpace, Myself, StoreAlarm
from orlop.node.cluster import tls
from orlop.node.cluster.look import Looker
from tests.unit.node.cluster.gateway import STATUS, Gateway, encoded, gateway, make_certificate

LIST, RANGE, SAYS = "/v3/cluster/member/list", "/v3/kv/range", "/v3/maintenance/status"
ME = Myself("0f" * 16, "https://127.0.0.1:2380", has_data=True, cluster=7)
FIRST, SECOND = "11", "12"


def listed(cluster: int, *hosts: int) -> tuple[int, object]:
    members = [{"ID": f"1{n}", "name": f"n{n}-{n:08x}", "peerURLs": [f"https://127.0.0.{n}:2380"]} for n in hosts]
    return 200, {"header": {"cluster_id": str(cluster), "member_id": "12"}, "members": members}


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    make_certificate(tmp_path)
    return tls.context(tmp_path)


@pytest.fixture
def port(tmp_path: Path, context: ssl.SSLContext) -> Iterator[int]:  # noqa: ARG001 — it makes the certificate
    with gateway(tmp_path) as port:
        Gateway.answers[RANGE] = (200, {"kvs": [{"key": encoded("/k"), "value": encoded("3")}]})
        yield port


def test_cluster_of_the_same_keys_that_is_another_is_not_believed(port: int, context: ssl.SSLContext) -> None:
    """Or a server would give its data up because a store that was made by mistake does not know it."""
    Gateway.answers[f"127.0.0.2{LIST}"] = listed(8, 2)
    look = Looker(port=port).look(ME, ["127.0.0.2"], context, 0)
    assert (look.view.members, look.view.stranger, look.through) == (None, "127.0.0.2", None)
    assert isinstance(decide(look.view), Start)


def test_next_one_is_asked_when_the_first_is_of_another_cluster(port: int, context: ssl.SSLContext) -> None:
    Gateway.answers[f"127.0.0.2{LIST}"] = listed(8, 2)
    Gateway.answers[f"127.0.0.3{LIST}"] = listed(7, 1, 3)
    look = Looker(port=port).look(ME, ["127.0.0.2", "127.0.0.3"], context, 0)
    assert look.through is not None
    assert (look.through.host, look.cluster, look.view.size) == ("127.0.0.3", 7, 3)
    assert [m.peer for m in look.view.members or ()] == ["https://127.0.0.1:2380", "https://127.0.0.3:2380"]


def test_member_is_silent_from_when_it_was_missed_first(port: int, context: ssl.SSLContext) -> None:
    now = [100.0]
    looker = Looker(lambda: now[0], port=port)
    Gateway.answers[f"127.0.0.2{LIST}"] = listed(7, 1, 2, 3)
    Gateway.answers[f"127.0.0.2{SAYS}"] = (200, {**STATUS, "leader": "12"})
    assert looker.look(ME, ["127.0.0.2"], context, 0).view.silent == {11: 0.0, 13: 0.0}
    now[0] += 30
    view = looker.look(ME, ["127.0.0.2"], context, 0).view
    assert (view.silent, view.leader) == ({11: 30.0, 13: 30.0}, 12)
    Gateway.answers[f"127.0.0.3{SAYS}"] = (200, STATUS)
    assert looker.look(ME, ["127.0.0.2"], context, 0).view.silent == {11: 30.0}


def test_first_server_makes_no_store_beside_one_that_only_lacks_a_quorum(port: int, context: ssl.SSLContext) -> None:
    first = Myself("0f" * 16, "https://127.0.0.1:2380", may_form=True)
    with socket.create_server(("127.0.0.2", 0)) as peers:
        looker = Looker(port=port, peers=peers.getsockname()[1])
        assert isinstance(decide(looker.look(first, ["127.0.0.2"], context, 3).view), LeaveAlone)
        assert isinstance(decide(looker.look(first, ["127.0.0.3"], context, 3).view), Form)


def test_own_etcd_that_does_not_answer_is_timed_and_forgiven_when_it_does(port: int, context: ssl.SSLContext) -> None:
    now = [100.0]
    looker = Looker(lambda: now[0], port=port)
    assert looker.look(ME, [], context, 0).view.me.down == 0.0
    now[0] += 50
    assert looker.look(ME, [], context, 0).view.me.down == 50.0
    Gateway.answers[f"127.0.0.1{SAYS}"] = (200, STATUS)
    assert looker.look(ME, [], context, 0).view.me.down == 0.0
    Gateway.answers[f"127.0.0.1{SAYS}"] = (503, {})
    now[0] += 50
    assert looker.look(ME, [], context, 0).view.me.down == 0.0


def test_look_has_the_alarms_and_the_space_of_those_that_answer(port: int, context: ssl.SSLContext) -> None:
    now = [100.0]
    looker = Looker(lambda: now[0], port=port)
    Gateway.answers[f"127.0.0.2{LIST}"] = listed(7, 1, 2, 3)
    Gateway.answers[f"127.0.0.2{SAYS}"] = (200, {**STATUS, "errors": ["memberID:13 alarm:CORRUPT "]})
    view = looker.look(ME, ["127.0.0.2"], context, 0).view
    assert view.alarms == {StoreAlarm("CORRUPT", 13)}
    assert view.space == {12: MemberSpace(20480, 16384)}
    assert (view.revision, view.compacted, view.unable) == (48102, 0, frozenset())
    looker.could_not_defragment(12)
    assert looker.look(ME, ["127.0.0.2"], context, 0).view.unable == {12}
    now[0] += 1000
    assert looker.look(ME, ["127.0.0.2"], context, 0).view.unable == frozenset()


def test_server_of_another_cluster_of_this_name_is_known_by_its_keys(port: int, tmp_path: Path) -> None:
    make_certificate(tmp_path / "other")
    first = Myself("0f" * 16, "https://127.0.0.1:2380", may_form=True)
    look = Looker(port=port, peers=1).look(first, ["127.0.0.2"], tls.context(tmp_path / "other"), 3)
    assert look.view.foreign == "127.0.0.2"
    assert isinstance(decide(look.view), LeaveAlone)
