"""A server begins its cluster anew from a snapshot, or is refused and has nothing of it."""

from __future__ import annotations

import getpass
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orlop.cluster.settings import ClusterSettings
from orlop.errors import BadInput, Busy, OrlopError
from orlop.model.cluster.names import NAME_KEY, Role
from orlop.model.cluster.restoring import RestoringServer
from orlop.node.cluster import memory, restore
from orlop.node.cluster.backup import backup_from_disk
from orlop.node.cluster.host import ServerHost
from orlop.store.snapshot import bolt, contents, data

SETTINGS = ClusterSettings("cl", Role.SERVER, ("127.0.0.1",), address="10.0.0.1")
SERVER = RestoringServer("cl", "a" * 64)


def snapshot(name: str = "cl") -> bytes:
    key, value = NAME_KEY.encode(), name.encode()
    change = b"\x0a" + bytes([len(key)]) + key + b"\x2a" + bytes([len(value)]) + value
    out = io.BytesIO()
    bolt.write(out, {b"key": [(contents.revision_key(7), change)], b"meta": [], b"members": [(b"a", b"{}")]})
    return out.getvalue() + hashlib.sha256(out.getvalue()).digest()


@pytest.fixture
def host(tmp_path: Path) -> ServerHost:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "var/lib/orlop/cluster").mkdir(parents=True)
    return ServerHost(tmp_path)


def restored(host: ServerHost, raw: bytes, server: RestoringServer = SERVER, of: str = "") -> restore.Restored:
    return restore.restore(
        host, SETTINGS, io.BytesIO(raw), of=of, look=lambda *_: server, owner=getpass.getuser()
    )  # fmt: skip


@contextmanager
def nothing_is_left(host: ServerHost) -> Iterator[None]:
    yield
    assert not host.has_data()
    etcd = host.top / "var/lib/orlop/etcd"
    assert not etcd.exists() or not list(etcd.iterdir())


def test_server_has_the_data_of_a_new_cluster_and_knows_it(host: ServerHost) -> None:
    done = restored(host, snapshot())
    assert (done.revision, done.next) == (7, 7 + data.BUMP)
    assert host.has_data()
    assert memory.read(host.state).cluster == done.cluster != 0
    member = host.top / "var/lib/orlop/etcd/member"
    assert {p.stat().st_uid for p in member.rglob("*")} == {os.getuid()}
    assert sorted(p.name for p in member.parent.iterdir()) == ["member"]


def test_two_restores_of_one_snapshot_are_two_clusters(host: ServerHost) -> None:
    first = restored(host, snapshot())
    (host.top / "var/lib/orlop/etcd/member").rename(host.top / "aside")
    assert restored(host, snapshot()).cluster != first.cluster


@pytest.mark.parametrize(
    ("raw", "server", "of", "said"),
    [
        (snapshot()[:-1], SERVER, "", "is not a whole snapshot"),
        (b"", SERVER, "", "is not a snapshot"),
        (snapshot("old"), SERVER, "", "of cluster old"),
        (snapshot(), replace(SERVER, answers="10.0.0.2"), "", "10.0.0.2 has its store"),
        (snapshot(), replace(SERVER, waits="10.0.0.2"), "", "waits for more of its members"),
        (snapshot(), SERVER, "other", "not of other"),
    ],
)
def test_what_is_refused_changes_nothing(
    host: ServerHost, raw: bytes, server: RestoringServer, of: str, said: str
) -> None:
    with nothing_is_left(host), pytest.raises(OrlopError, match=said):
        restored(host, raw, server, of)
    assert memory.read(host.state).cluster == 0


def test_store_that_was_made_meanwhile_is_not_written_over(host: ServerHost) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            made = host.top / "var/lib/orlop/etcd/member/wal"
            made.mkdir(parents=True, exist_ok=True)
            return super().read(size)

    with pytest.raises(Busy, match="made a store meanwhile"):
        restore.restore(host, SETTINGS, Slow(snapshot()), look=lambda *_: SERVER, owner=getpass.getuser())
    assert [p.name for p in (host.top / "var/lib/orlop/etcd").iterdir()] == ["member"]
    assert [p.name for p in (host.top / "var/lib/orlop/etcd/member").iterdir()] == ["wal"]


def test_what_a_killed_restore_left_is_swept(host: ServerHost) -> None:
    left = host.top / "var/lib/orlop/etcd/.making-member-1"
    left.mkdir(parents=True)
    restored(host, snapshot())
    assert not left.exists()


def test_database_of_a_stopped_member_is_a_snapshot(host: ServerHost) -> None:
    place = host.top / "var/lib/orlop/etcd/member/snap/db"
    place.parent.mkdir(parents=True)
    place.write_bytes(snapshot()[: -contents.HASH_BYTES])
    taken = io.BytesIO()
    backup_from_disk(host, taken, lambda *_: None)
    assert taken.getvalue() == snapshot()
    raw = bytearray(place.read_bytes())
    raw[2 * bolt.PAGE + 8] ^= 0xFF
    place.write_bytes(raw)
    with pytest.raises(BadInput, match="is damaged"):
        backup_from_disk(host, io.BytesIO(), lambda *_: None)
