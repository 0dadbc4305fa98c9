"""Servers that mean harm or say nothing: whatever the first one does, the engine lives and the second one is used."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from orlop.model.release.index import BLOCK
from orlop.net.errors import NetError, Unreachable
from orlop.node.update.blobs.fetch import Blocks, Fetcher, Pace
from orlop.node.update.blobs.plan import BlockRun
from orlop.node.update.blobs.source import STALL_SECONDS, BlobStream, source
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from simulators import hostile
from simulators.releases import part
from simulators.repository import unreachable
from simulators.webserver import serving
from tests.unit.model.release.channels import SECRET
from tests.unit.node.update.catalog.test_catalog import Life

RAW = random.Random(5).randbytes(5 * BLOCK)
PART = part(RAW)
PATHS = (PART.blob.path, "orlop_20261201.1.usr.raw")


def whole(*urls: str) -> bytes:
    found = Fetcher([source(url, stall=2) for url in urls], sleep=lambda _: None)
    return b"".join(bytes(data) for _, data in found.fetch(Blocks(PART, PATHS), [BlockRun(0, PART.blocks)]))


@pytest.mark.parametrize("raw", hostile.ANSWERS.values(), ids=hostile.ANSWERS)
def test_blobs_come_from_another_server_whatever_the_first_answers(raw: bytes) -> None:
    with hostile.answering(raw) as bad, serving({PART.blob.path: RAW}.get) as good:
        with pytest.raises(NetError) as e:
            whole(bad)
        assert e.value.message.isprintable()
        assert len(e.value.message) < 400
        assert whole(bad, good) == RAW


@pytest.mark.parametrize("raw", hostile.ANSWERS.values(), ids=hostile.ANSWERS)
def test_releases_are_learnt_from_another_server_whatever_the_first_answers(tmp_path: Path, raw: bytes) -> None:
    life = Life(tmp_path)
    files = life.repo.files

    def served(path: str) -> bytes | None:
        return files.get(path.removeprefix("metadata/"))

    with hostile.answering(raw) as bad, serving(served) as good:
        life.catalog = FollowedRepository(Following((bad, good)), life.repo.first_root, tmp_path, SECRET)
        assert life.offer() is None
        assert life.catalog.answer is not None


def test_two_that_break_off_in_each_block_are_given_up_in_the_end() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 20480\r\n\r\n"
    with hostile.answering(raw + RAW[:9]) as one, hostile.answering(raw + RAW[:9]) as two, pytest.raises(Unreachable):
        whole(one, two)


class Clock:
    """Time that passes only while something is waited for; `silences` are the pauses between two signs of life."""

    def __init__(self) -> None:
        self.now = self.heard = 0.0
        self.silences: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def alive(self) -> None:
        self.silences.append(self.now - self.heard)
        self.heard = self.now


@dataclass
class Dead:
    """A server that each request waits for in vain, as long as one may be waited for."""

    name: str
    clock: Clock

    def open(self, path: str, _start: int, _end: int) -> BlobStream:
        self.clock.wait(STALL_SECONDS)
        raise Unreachable(f"{self.name} does not give {path}")

    def close(self) -> None:
        pass


def test_dead_mirrors_are_waited_for_with_signs_of_life_until_the_failure_is_said() -> None:
    clock = Clock()
    pace = Pace(None, clock, clock.wait, clock.alive)
    found = Fetcher([Dead(name, clock) for name in "abc"], pace=pace, sleep=clock.wait)
    with pytest.raises(Unreachable):
        list(found.fetch(Blocks(PART, PATHS), [BlockRun(0, 1)]))
    assert clock.now > 300
    assert max(*clock.silences, clock.now - clock.heard) <= 60


def test_a_narrow_bandwidth_is_waited_for_with_signs_of_life() -> None:
    clock = Clock()
    Pace(1000, clock, clock.wait, clock.alive).spend(1 << 18)
    assert clock.now == pytest.approx(262, abs=1)
    assert max(*clock.silences, clock.now - clock.heard) <= 60


def test_each_server_of_a_check_is_waited_for_with_signs_of_life(tmp_path: Path) -> None:
    life, clock = Life(tmp_path), Clock()

    def dead(path: str, most: int) -> bytes | None:
        clock.wait(45)
        return unreachable(path, most)

    urls = tuple(f"https://{n}.invalid/" for n in range(9))
    pace = Pace(None, clock, clock.wait, clock.alive)
    life.catalog = FollowedRepository(
        Following(urls), life.repo.first_root, tmp_path, SECRET, pace=pace, fetch=lambda _: dead
    )
    with pytest.raises(Unreachable):
        life.offer()
    assert clock.now > 300
    assert max(*clock.silences, clock.now - clock.heard) <= 60


def test_what_waits_on_a_real_server_gives_signs_of_life(tmp_path: Path) -> None:
    """By the way that the daemon's parts are put together: from the pace to each connection."""
    told: list[str] = []
    life, pace = Life(tmp_path), Pace(None, alive=lambda: told.append("alive"))
    files = {**life.repo.files, PART.blob.path: RAW}
    with serving(lambda path: files.get(path.removeprefix("metadata/"))) as url:
        life.catalog = FollowedRepository(Following((url,)), life.repo.first_root, tmp_path, SECRET, pace=pace)
        life.offer()
        assert len(told) > 5
        told.clear()
        fetcher = life.catalog.fetcher(life.target(1))
        assert sum(len(data) for _, data in fetcher.fetch(Blocks(PART, PATHS), [BlockRun(0, PART.blocks)])) == len(RAW)
        assert len(told) > 1
