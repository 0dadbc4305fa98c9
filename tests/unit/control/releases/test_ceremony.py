"""Roots and keys that change while machines go on."""

from __future__ import annotations

from contextlib import suppress

import pytest

from orlop.control.releases import ceremony
from orlop.control.releases.repository import load
from orlop.errors import BadInput, Missing
from orlop.trust.cache import MemoryCache
from tests.unit.control.releases.images import Publisher
from tests.unit.control.releases.publishing import (
    Dying,
    Killed,
    bad,
    release,
    replace_storage,
    seen,
    versions,
)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("lost", [False, True])
def test_an_online_key_is_replaced_while_machines_go_on(publisher: Publisher, role: str, lost: bool) -> None:
    release(publisher, "20261201.1")
    cache = MemoryCache()
    seen(publisher, "alpha", cache)
    old = publisher.online[role][0]
    draft = ceremony.following(publisher.repository.load().root, publisher.now)
    ceremony.replace_keys(draft, role, [publisher.keyring.make(f"{role}-2")])
    if lost:
        del publisher.keyring.keys[old.keyid]
    with pytest.raises(Missing, match="root 2 has 0 of the 2 signatures"):
        ceremony.apply(publisher.repository, draft, publisher.now)
    ceremony.sign(draft, publisher.keyring)
    ceremony.apply(publisher.repository, draft, publisher.now)
    publisher.keyring.keys.pop(old.keyid, None)
    release(publisher, "20261202.1")
    assert versions(seen(publisher, "alpha", cache)) == versions(seen(publisher, "alpha"))
    assert cache["root.json"] != publisher.given
    assert not bad(publisher)


def test_a_lost_key_is_replaced_again_after_a_crash_between_root_and_timestamp(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    draft = ceremony.following(publisher.repository.load().root, publisher.now)
    ceremony.replace_keys(draft, "timestamp", [publisher.keyring.make("timestamp-2")])
    ceremony.sign(draft, publisher.keyring)
    del publisher.keyring.keys[publisher.online["timestamp"][0].keyid]
    for n in range(10):
        p = replace_storage(publisher, Dying(publisher.folder / "repo", n), publisher.folder / "memory")
        with suppress(Killed):
            ceremony.apply(p.repository, draft, publisher.now)
            break
    assert versions(seen(publisher, "alpha")) == ["20261201.1"]
    assert not bad(publisher)


def test_root_keys_are_replaced_with_two_of_three(publisher: Publisher) -> None:
    """One root key is lost: two sign for three new ones, and the new ones for themselves."""
    del publisher.keyring.keys[publisher.roots[0].keyid]
    draft = ceremony.following(publisher.repository.load().root, publisher.now)
    new = [publisher.keyring.make(f"root-{n}") for n in (4, 5, 6)]
    ceremony.replace_keys(draft, "root", new)
    assert "root: 2 of +" in ceremony.described(draft, publisher.repository.load().root)[1]
    ceremony.sign(draft, publisher.keyring)
    ceremony.apply(publisher.repository, draft, publisher.now)
    assert load(publisher.storage, publisher.given, MemoryCache()).root.version == 2
    assert seen(publisher, "stable").entries == ()


def test_a_draft_travels_as_a_file(publisher: Publisher) -> None:
    old = publisher.repository.load().root
    draft = ceremony.following(old, publisher.now)
    everybody = dict(publisher.keyring.keys)
    for n, key in enumerate(publisher.roots[:2]):
        assert [len(v.signed) for v in ceremony.votes(draft, old)] == [n, n]
        publisher.keyring.keys = {key.keyid: key}
        draft = ceremony.decode(ceremony.encode(draft), "draft")
        assert ceremony.sign(draft, publisher.keyring) == [key]
    publisher.keyring.keys = everybody
    ceremony.apply(publisher.repository, ceremony.decode(ceremony.encode(draft), "draft"), publisher.now)
    assert publisher.repository.load().root.version == 2


def test_a_root_is_signed_by_root_keys_alone(publisher: Publisher) -> None:
    """Even of one that is replaced by it, and by nobody else whose key is at hand."""
    roots = {key.keyid for key in publisher.roots}
    assert set(publisher.draft.signatures) == roots
    draft = ceremony.following(publisher.repository.load().root, publisher.now)
    fresh = [publisher.keyring.make(f"root-{n}") for n in (4, 5)]
    ceremony.replace_keys(draft, "root", fresh)
    ceremony.sign(draft, publisher.keyring)
    assert set(draft.signatures) == roots | {key.keyid for key in fresh}
    ceremony.apply(publisher.repository, draft, publisher.now)
    assert b"keys_of_the_root_before" not in (publisher.storage.read("metadata/2.root.json") or b"")


def test_drafts_that_are_none(publisher: Publisher) -> None:
    for raw in (b"", b"{}", publisher.storage.read("metadata/timestamp.json") or b""):
        with pytest.raises(BadInput, match="is no root draft"):
            ceremony.decode(raw, "x")
    draft = ceremony.following(publisher.repository.load().root, publisher.now)
    draft.signed.version = 7
    with pytest.raises(BadInput, match="the draft is root 7, the repository is at root 1"):
        ceremony.apply(publisher.repository, draft, publisher.now)
    with pytest.raises(BadInput, match="cannot need 2 of 1 keys"):
        ceremony.replace_keys(draft, "root", publisher.roots[:1])
    with pytest.raises(BadInput, match="4 of 3 root keys"):
        ceremony.first({"root": publisher.roots, **publisher.online}, 4, publisher.now)
