"""Snapshots that a server takes by itself: kept, let go, put into storage; what fails is said and tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

import pytest

from orlop.cluster.settings import ClusterSettings
from orlop.model.cluster.names import Role
from orlop.model.cluster.snapshots import RETRY, Schedule, parsed
from orlop.model.words.bucket import S3Address
from orlop.net.errors import Unreachable
from orlop.net.s3 import Credentials
from orlop.node.cluster.etcd import Endpoint
from orlop.node.cluster.host import ServerHost
from orlop.node.cluster.snapshots import SnapshotKeeper, SnapshotSource
from simulators.s3 import Bucket, storing

MACHINE = "37216fc2" * 4
HOUR = timedelta(hours=1)


@dataclass
class World:
    """A member whose every snapshot is a revision further, and a clock."""

    keeper: SnapshotKeeper
    folder: Path
    now: datetime = datetime(2026, 12, 1, 12, tzinfo=UTC)
    revision: int = 0
    is_well: bool = True
    leads: bool = True
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def snapshot(self, into: IO[bytes], told: Any = None) -> int:  # noqa: ARG002 - as Endpoint has it
        into.write(b"a part of it")
        if not self.is_well:
            raise Unreachable("etcd on 127.0.0.1 sent a snapshot that is not whole")
        return 12

    def turn(self) -> Any:
        self.revision += 1
        self.keeper.turn(SnapshotSource(cast("Endpoint", self), self.revision, 12, leads=self.leads))
        for work in self.waiting:
            work()
        self.waiting.clear()
        return self.keeper.turn(None)

    def kept(self) -> list[int]:
        return [name.revision for name in parsed(path.name for path in self.folder.iterdir())]


def world(tmp_path: Path, storage: S3Address | None = None) -> World:
    host = ServerHost(tmp_path)
    host.state.mkdir(parents=True)
    settings = ClusterSettings(
        "cl", Role.SERVER, ("10.0.0.1",), snapshots=Schedule(HOUR, 3), storage=storage
    )  # fmt: skip
    made: list[World] = []

    def start(work: Callable[[], None]) -> None:
        made[0].waiting.append(work)

    keeper = SnapshotKeeper(host, settings, MACHINE, now=lambda: made[0].now, start=start)
    made.append(World(keeper, host.state / "snapshots"))
    return made[0]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[tuple[Bucket, S3Address]]:
    place = tmp_path / "etc/credstore/orlop.storage"
    place.parent.mkdir(parents=True)
    place.write_text("AKID:a:secret\n")
    with storing(Credentials("AKID", "a:secret")) as (url, bucket):
        yield bucket, S3Address.parse(url)


def test_one_is_taken_at_once_and_then_when_it_is_due(tmp_path: Path) -> None:
    it = world(tmp_path)
    assert it.turn().at == it.now
    it.now += HOUR / 2
    it.turn()
    assert it.kept() == [1]
    for _ in range(5):
        it.now += HOUR
        it.turn()
    assert it.kept() == [7, 6, 5]
    assert {path.stat().st_mode & 0o777 for path in it.folder.iterdir()} == {0o600}
    assert it.folder.stat().st_mode & 0o777 == 0o700


def test_what_fails_is_said_tried_again_and_leaves_nothing(tmp_path: Path) -> None:
    it = world(tmp_path)
    it.turn()
    it.now, it.is_well = it.now + HOUR, False
    said = it.turn()
    assert (said.kept, said.at) == (1, it.now - HOUR)
    assert said.trouble == "no snapshot was taken: etcd on 127.0.0.1 sent a snapshot that is not whole"
    assert it.kept() == [1]
    assert len(list(it.folder.iterdir())) == 1
    it.is_well = True
    assert it.turn().kept == 1
    it.now += RETRY
    said = it.turn()
    assert (said.kept, said.trouble, said.at) == (2, "", it.now)


def test_clock_that_was_ahead_stops_nothing(tmp_path: Path) -> None:
    it = world(tmp_path)
    it.now += timedelta(days=3650)
    it.turn()
    it.now -= timedelta(days=3650)
    it.turn()
    assert it.kept() == [2, 1]
    it.turn()
    assert it.kept() == [2, 1]


def test_server_without_a_member_takes_none(tmp_path: Path) -> None:
    it = world(tmp_path)
    assert it.keeper.turn(None).kept == 0
    assert not it.waiting


def test_leaders_server_puts_them_into_the_storage(tmp_path: Path, storage: tuple[Bucket, S3Address]) -> None:
    bucket, address = storage
    it = world(tmp_path, address)
    said = it.turn()
    assert (said.stored, said.store_trouble) == (it.now, "")
    for _ in range(5):
        it.now += HOUR
        it.turn()
    there = [name for name in bucket.objects if name.endswith(".snapshot")]
    assert sorted(name.rpartition("/")[2] for name in there) == sorted(path.name for path in it.folder.iterdir())
    assert all("/cl/" in f"/{name}" for name in there)


def test_other_servers_put_none_there(tmp_path: Path, storage: tuple[Bucket, S3Address]) -> None:
    bucket, address = storage
    it = world(tmp_path, address)
    it.leads = False
    assert it.turn().stored is None
    assert not bucket.objects


def test_storage_that_is_away_is_said_and_the_snapshot_is_here(
    tmp_path: Path, storage: tuple[Bucket, S3Address]
) -> None:
    _, address = storage
    it = world(tmp_path, replace(address, host="127.0.0.1:1"))
    said = it.turn()
    assert said.kept == 1
    assert said.store_trouble.startswith("no snapshot was put into the storage: ")
    (tmp_path / "etc/credstore/orlop.storage").unlink()
    it.now += RETRY
    assert "orlop.storage is not there" in it.turn().store_trouble
