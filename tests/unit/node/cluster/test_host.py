from __future__ import annotations

from pathlib import Path

from orlop.node.cluster import memory
from orlop.node.cluster.host import ServerHost, addresses, own_address
from orlop.node.cluster.memory import ClusterMemory


def test_own_address_is_the_one_among_the_servers() -> None:
    assert own_address(["192.0.2.1", "127.0.0.1"]) == "127.0.0.1"


def test_own_address_is_else_the_one_that_leads_to_them() -> None:
    assert own_address(["127.99.0.1"]) == "127.99.0.1"  # all of 127/8 is this machine's
    assert own_address([]) == ""


def test_host_is_asked_by_a_word_in_a_file(tmp_path: Path) -> None:
    host = ServerHost(tmp_path)
    assert not host.is_asked()
    host.ask("start")
    assert (tmp_path / "run/orlop/cluster/etcd.asked").read_text() == "start\n"
    assert host.is_asked()


def test_data_are_there_when_etcd_has_made_them(tmp_path: Path) -> None:
    host = ServerHost(tmp_path)
    assert not host.has_data()
    (tmp_path / "var/lib/orlop/etcd").mkdir(parents=True)
    assert not host.has_data()
    (tmp_path / "var/lib/orlop/etcd/member").mkdir()
    assert host.has_data()


def test_memory_is_kept_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    assert memory.read(tmp_path) == ClusterMemory()
    memory.write(tmp_path, ClusterMemory(7, ("10.0.0.1",)))
    assert memory.read(tmp_path) == ClusterMemory(7, ("10.0.0.1",))
    for raw in (b"", b"{}", b"\xff", b'{"schema": 1, "cluster": true}', b"[]"):
        (tmp_path / memory.FILE).write_bytes(raw)
        assert memory.read(tmp_path) == ClusterMemory()


def test_name_that_leads_nowhere_has_no_address() -> None:
    assert addresses(["127.0.0.1", "no-such-host.invalid", "127.0.0.1", "x" * 64]) == ["127.0.0.1"]
