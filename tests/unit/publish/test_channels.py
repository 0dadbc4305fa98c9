"""Channels that come and go while machines follow them and others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from orlop.errors import BadInput, Missing
from orlop.publish.channels import channels
from orlop.publish.repository import gc
from orlop.publish.repository.repository import Change
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused
from simulators.publisher import Publisher
from tests.unit.publish.publishing import Dying, Killed, bad, release, replace_storage, seen, versions


def add(p: Publisher, name: str) -> None:
    state = p.repository.load()
    p.repository.commit(state, channels.added(state, name, p.keyring.make(name), p.now), p.now)


def remove(p: Publisher, name: str) -> None:
    state, change = channels.removed(p.repository.load(), name)
    p.repository.commit(state, change, p.now)


def test_a_channel_comes_after_the_first_day(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    cache = MemoryCache()
    seen(publisher, "alpha", cache)
    add(publisher, "lts")
    assert seen(publisher, "lts", cache).entries == ()
    release(publisher, "20261202.1", channel="lts")
    assert versions(seen(publisher, "lts", cache)) == ["20261202.1"]
    assert versions(seen(publisher, "alpha", cache)) == ["20261201.1"]
    assert not bad(publisher)


def test_a_channel_goes_and_comes_again(publisher: Publisher) -> None:
    """Machines that know its old number take the new channel for no rollback; the others notice nothing."""
    for version in ("20261201.1", "20261202.1"):
        release(publisher, version, channel="beta")
    alpha, beta = MemoryCache(), MemoryCache()
    seen(publisher, "alpha", alpha)
    seen(publisher, "beta", beta)
    remove(publisher, "beta")
    assert seen(publisher, "alpha", alpha).entries == ()
    for cache in (beta, MemoryCache()):
        with pytest.raises(Refused, match="the repository has no channel beta"):
            seen(publisher, "beta", cache)
    assert not bad(publisher)
    add(publisher, "beta")
    assert seen(publisher, "beta", beta) == seen(publisher, "beta")
    release(publisher, "20261203.1", channel="beta")
    assert versions(seen(publisher, "beta", beta)) == ["20261203.1"]
    assert not bad(publisher)


def test_nothing_is_kept_of_a_channel_that_is_gone(publisher: Publisher) -> None:
    release(publisher, "20261201.1", channel="beta")
    remove(publisher, "beta")
    gc.collect(publisher.storage, gc.garbage(publisher.storage, publisher.repository.load()))
    assert not list(publisher.storage.names("blobs"))
    assert not [name for name in publisher.storage.names("targets") if "/beta/" in name]
    publisher.repository.commit(publisher.repository.load(), Change(), publisher.now)
    assert not bad(publisher)


@pytest.mark.parametrize(("change", "name"), [(add, "lts"), (remove, "beta")])
def test_killed_at_any_write_it_is_there_or_not(
    publisher: Publisher, change: Callable[[Publisher, str], None], name: str
) -> None:
    release(publisher, "20261201.1")
    cache = MemoryCache()
    for n in range(10):
        p = replace_storage(publisher, Dying(publisher.folder / "repo", n), publisher.folder / "memory")
        with suppress(Killed):
            change(p, name)
            break
        assert versions(seen(publisher, "alpha", cache)) == ["20261201.1"]
        assert not bad(publisher)
    else:
        pytest.fail("it never ended")
    assert versions(seen(publisher, "alpha", cache)) == ["20261201.1"]


def test_names_that_cannot_be(publisher: Publisher) -> None:
    state = publisher.repository.load()
    key = publisher.keyring.make("x")
    for name, message in (
        ("alpha", "a channel alpha already"),
        ("targets", "not a valid channel"),
        ("A/b", "not a valid"),
    ):
        with pytest.raises(BadInput, match=message):
            channels.added(state, name, key, publisher.now)
    with pytest.raises(Missing, match="no channel lts"):
        channels.removed(state, "lts")
