"""A snapshot of a real etcd, made into a new cluster's data by us and by `etcdutl`; a real etcd starts with ours."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orlop.sdk.run import in_sdk
from orlop.store.etcd.client import EtcdStore
from orlop.store.protocol import Compacted, Delete, Put, everything
from orlop.store.snapshot import contents, data, log
from orlop.store.snapshot.bolt import BoltFile
from orlop.store.snapshot.log import Identity
from orlop.workspace import Workspace
from tests.contracts.store.running import RunningMember, free_ports

REVISIONS = 300
BOUND = 60.0


def asked(member: RunningMember, path: str, body: Any) -> Any:
    request = urllib.request.Request(f"{member.url}/v3/{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def fill(member: RunningMember) -> None:
    store = EtcdStore([member.url])
    for n in range(REVISIONS):
        await store.commit([Put(f"/k/{n % 40:03}", bytes([n % 256]) * (n * 20))])
    await store.commit([Delete("/k/007"), Put("/large", bytes(1 << 19))])
    lease = await store.grant(600)
    await store.commit([Put("/leased", b"x", lease=lease.id)])
    await store.close()


@pytest.fixture
def snapshot(alone: RunningMember, tmp_path: Path) -> Path:
    asyncio.run(fill(alone))
    asked(alone, "kv/compaction", {"revision": "100", "physical": True})
    asked(alone, "maintenance/alarm", {"action": "ACTIVATE", "memberID": "1", "alarm": "NOSPACE"})
    path = tmp_path / "snapshot"
    request = urllib.request.Request(f"{alone.url}/v3/maintenance/snapshot", b"{}")
    with urllib.request.urlopen(request, timeout=10) as answer, path.open("wb") as f:
        for line in answer:
            f.write(base64.b64decode(json.loads(line)["result"].get("blob", "")))
    return path


def made(snapshot: Path, folder: Path, who: Identity) -> int:
    """Ours; the revision of the snapshot."""
    folder.mkdir()
    with snapshot.open("rb") as f, contents.opened(f, "the snapshot") as database:
        found = contents.read(database, ())
        data.make(folder / "member", database, who, found.revision)
    return found.revision


def dump(path: Path) -> dict[bytes, dict[bytes, bytes]]:
    file = BoltFile(memoryview(path.read_bytes()))
    return {name: {key: bytes(value) for key, value in file.pairs(name)} for name in file.buckets()}


def test_our_data_are_those_that_etcdutl_makes(snapshot: Path, tmp_path: Path) -> None:
    who = Identity("n1-00000001", "https://10.0.0.1:2380", "a token")
    revision = made(snapshot, tmp_path / "ours", who)
    command: list[str | Path] = [
        *("etcdutl", "snapshot", "restore", snapshot, "--data-dir", tmp_path / "theirs", "--name", who.name),
        *("--initial-cluster", f"{who.name}={who.peer}", "--initial-advertise-peer-urls", who.peer),
        *("--initial-cluster-token", who.token, "--bump-revision", str(data.BUMP), "--mark-compacted"),
    ]
    ws = Workspace.find()
    subprocess.run(in_sdk(ws, command, binds=[tmp_path]), check=True, capture_output=True, timeout=BOUND)
    for place in (f"wal/{log.WAL_FILE}", f"snap/{log.SNAPSHOT_FILE}"):
        ours, theirs = ((tmp_path / whose / "member" / place).read_bytes() for whose in ("ours", "theirs"))
        assert ours == theirs.rstrip(b"\0").ljust(len(ours), b"\0"), place  # etcd sets room aside in its log
    our_db, their_db = (dump(tmp_path / whose / "member/snap/db") for whose in ("ours", "theirs"))
    assert len(our_db[b"key"]) > 200
    # what differs is meant: etcdutl keeps alarms about members that are gone, and who voted in the old cluster
    assert their_db.pop(b"alarm")
    assert not our_db.pop(b"alarm")
    for meta in (our_db[b"meta"], their_db[b"meta"]):
        meta.pop(b"confState", None)
    assert our_db == their_db
    status: list[str | Path] = ["etcdutl", "snapshot", "status", tmp_path / "ours/member/snap/db", "-w", "json"]
    said = subprocess.run(in_sdk(ws, status, binds=[tmp_path]), check=True, capture_output=True, timeout=BOUND)
    assert json.loads(said.stdout)["revision"] == revision + data.BUMP


@contextmanager
def restored(snapshot: Path, tmp_path: Path) -> Iterator[tuple[RunningMember, Identity, int]]:
    client, peer = free_ports(2)
    who = Identity("r1", f"http://127.0.0.1:{peer}", "restored")
    revision = made(snapshot, tmp_path / "r1", who)
    member = RunningMember("r1", tmp_path / "r1", client, peer, f"r1={who.peer}", "existing")
    try:
        member.start()
        member.wait()
        yield member, who, revision
    finally:
        member.kill()


def test_real_etcd_goes_on_from_it_as_another_cluster(alone: RunningMember, snapshot: Path, tmp_path: Path) -> None:
    async def both(new: RunningMember) -> None:
        async with asyncio.timeout(BOUND):
            stores = [EtcdStore([m.url]) for m in (alone, new)]
            old_page, new_page = [await everything(store, "/") for store in stores]
            assert old_page.entries == new_page.entries
            assert len(new_page.entries) > 40
            assert new_page.revision == revision + data.BUMP
            # who watches from what it saw last is told that this history is gone, and is not left waiting
            async with stores[1].watch("/", after=old_page.revision) as batches:
                with pytest.raises(Compacted):
                    await anext(batches)
            assert await stores[1].commit([Put("/k/000", b"new")]) > revision + data.BUMP
            for store in stores:
                await store.close()

    with restored(snapshot, tmp_path) as (new, who, revision):
        before, after = (asked(m, "cluster/member/list", {}) for m in (alone, new))
        assert before["header"]["cluster_id"] != after["header"]["cluster_id"] == str(who.cluster)
        assert [m["ID"] for m in after["members"]] == [str(who.member)] != [m["ID"] for m in before["members"]]
        assert not asked(new, "maintenance/alarm", {"action": "GET"}).get("alarms")
        assert len(asked(new, "lease/leases", {})["leases"]) == 1
        asyncio.run(both(new))
        new.kill()  # what it wrote itself is on its disk now, too
        new.start()
        new.wait()
        assert int(asked(new, "maintenance/status", {})["header"]["revision"]) == revision + data.BUMP + 1


def test_second_member_learns_from_a_restored_one(snapshot: Path, tmp_path: Path) -> None:
    with restored(snapshot, tmp_path) as (first, _, _):
        client, peer = free_ports(2)
        asked(first, "cluster/member/add", {"peerURLs": [f"http://127.0.0.1:{peer}"], "isLearner": True})
        initial = f"{first.cluster},r2=http://127.0.0.1:{peer}"
        second = RunningMember("r2", tmp_path / "r2", client, peer, initial, "existing")
        try:
            second.start()

            async def caught_up() -> None:
                async with asyncio.timeout(BOUND):
                    while True:
                        await asyncio.sleep(0.1)
                        try:
                            said = asked(second, "maintenance/status", {})
                        except OSError:
                            continue
                        if said["header"]["revision"] == asked(first, "maintenance/status", {})["header"]["revision"]:
                            return

            asyncio.run(caught_up())
            where = {"key": base64.b64encode(b"/large").decode(), "serializable": True}
            assert asked(second, "kv/range", where) | {"header": 0} == asked(first, "kv/range", where) | {"header": 0}
        finally:
            second.kill()
