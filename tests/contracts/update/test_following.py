"""A machine follows a repository as `orlop release` makes it, over HTTP as `orlop release serve` gives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.model.release.channel import Channel
from orlop.model.release.index import PARTS, file_name
from orlop.model.update.memory import Memory
from orlop.model.update.state import Target
from orlop.model.words.version import Version
from orlop.net.errors import Overloaded, Unreachable
from orlop.node.update.blobs.fetch import Blocks, Fetcher
from orlop.node.update.blobs.plan import BlockRun
from orlop.node.update.blobs.source import source
from orlop.node.update.catalog.catalog import FollowedRepository, Following
from orlop.node.update.outside import Situation
from orlop.publish.channels import edits
from orlop.publish.repository.repository import Change
from orlop.publish.serve import server
from simulators.httpd import running
from simulators.publisher import Publisher
from simulators.webserver import WebHandler, serving
from tests.unit.publish.publishing import promote, release

FIRST, SECOND = Version.parse("20261201.1"), Version.parse("20261201.2")


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "publisher")
    made.create()
    return made


@pytest.fixture
def url(publisher: Publisher) -> Iterator[str]:
    with running(server(publisher.folder / "repo", "127.0.0.1", 0)) as address:
        yield address


def machine(p: Publisher, folder: Path, following: Following, secret: bytes = b"s" * 32) -> FollowedRepository:
    return FollowedRepository(following, p.given, folder, secret)


def now(p: Publisher) -> Situation:
    """What a machine that runs the first version is in."""
    return Situation(p.now, FIRST, Memory())


def test_through_the_channels_to_every_byte(publisher: Publisher, url: str, tmp_path: Path) -> None:
    release(publisher, str(FIRST))
    release(publisher, str(SECOND), changed=5)
    publisher.now += timedelta(hours=1)
    dead = "http://127.0.0.1:9/"
    alpha = machine(publisher, tmp_path / "alpha", Following((dead, url), "alpha"))
    stable = machine(publisher, tmp_path / "stable", Following((url,), "stable"))
    target = alpha.offer(now(publisher))
    assert target is not None
    assert target.version == SECOND
    assert stable.offer(now(publisher)) is None
    assert stable.answer is not None
    assert "has no version for x86-64 yet" in stable.answer.reason

    index = alpha.index(target, now(publisher))
    image = publisher.folder / "images" / str(SECOND)
    for name in PARTS:
        part = index.part(name)
        blocks = Blocks(part, (part.blob.path, file_name(index.version, name)))
        sent = b"".join(bytes(data) for _, data in alpha.fetcher(target).fetch(blocks, [BlockRun(0, part.blocks)]))
        assert sent == (image / file_name(SECOND, name)).read_bytes()

    promote(publisher, "alpha", "stable")
    publisher.now += timedelta(hours=1)
    assert stable.offer(now(publisher)) == target


def test_a_halt_stops_who_waits_and_a_resume_lets_them_go_on(publisher: Publisher, url: str, tmp_path: Path) -> None:
    release(publisher, str(FIRST))
    release(publisher, str(SECOND))
    publisher.now += timedelta(hours=1)

    def publish(document: Channel) -> None:
        publisher.repository.commit(publisher.repository.load(), Change(documents={"alpha": document}), publisher.now)

    def document() -> Channel:
        return publisher.repository.load().document("alpha")

    follower = machine(publisher, tmp_path / "a", Following((url,), "alpha"))
    publish(edits.halt(document(), SECOND, "it eats disks", publisher.now))
    assert follower.offer(now(publisher)) is None
    assert follower.answer is not None
    assert "is halted (it eats disks)" in follower.answer.reason
    publish(edits.resume(document(), SECOND, publisher.now))
    named = follower.named(SECOND, now(publisher))
    assert follower.offer(now(publisher)) == Target(SECOND, follower.index(named, now(publisher)).root_hash)


def test_a_server_of_blobs_that_is_overloaded_is_asked_once(url: str, publisher: Publisher, tmp_path: Path) -> None:
    release(publisher, str(FIRST))
    release(publisher, str(SECOND))
    publisher.now += timedelta(hours=1)
    asked: list[str] = []

    def busy(handler: WebHandler, path: str) -> bool:
        asked.append(path)
        handler.send_response(503)
        handler.send_header("Retry-After", "900")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    with serving(lambda _: None, busy) as other:
        follower = machine(publisher, tmp_path / "a", Following((other, url), "alpha"))
        target = follower.offer(now(publisher))
        assert target is not None
        part = follower.index(target, now(publisher)).uki
        blocks = Blocks(part, (part.blob.path,))
        asked.clear()
        assert (
            sum(len(data) for _, data in follower.fetcher(target).fetch(blocks, [BlockRun(0, 1), BlockRun(2, 1)])) > 0
        )
        assert asked == [part.blob.path]
        with pytest.raises(Overloaded) as e:
            list(Fetcher([source(other)]).fetch(blocks, [BlockRun(0, 1)]))
        assert e.value.after == timedelta(minutes=15)
        assert len(asked) == 2


def test_a_server_that_goes_away_in_between(publisher: Publisher, url: str, tmp_path: Path) -> None:
    release(publisher, str(FIRST))
    release(publisher, str(SECOND))
    publisher.now += timedelta(hours=1)
    follower = machine(publisher, tmp_path / "a", Following((url,), "alpha"))
    target = follower.offer(now(publisher))
    assert target is not None
    later = machine(publisher, tmp_path / "a", replace(follower.following, urls=("http://127.0.0.1:9/",)))
    assert later.index(target, now(publisher)) == follower.index(target, now(publisher))
    with pytest.raises(Unreachable, match=r"does not give metadata/timestamp\.json"):
        later.offer(now(publisher))
