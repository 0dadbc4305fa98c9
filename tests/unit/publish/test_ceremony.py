"""Roots and keys that change while machines go on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing
from orlop.publish.repository.repository import load
from orlop.publish.roots import ceremony, rotation
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused
from simulators.publisher import Publisher
from tests.unit.publish.publishing import Dying, Killed, bad, release, replace_storage, seen, versions


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("lost", [False, True])
def test_an_online_key_is_replaced_while_machines_go_on(publisher: Publisher, role: str, lost: bool) -> None:
    release(publisher, "20261201.1")
    cache = MemoryCache()
    seen(publisher, "alpha", cache)
    old = publisher.online[role][0]
    draft = publisher.next_root()
    ceremony.replace_keys(draft, role, [publisher.keyring.make(f"{role}-2")])
    if lost:
        del publisher.keyring.keys[old.keyid]
    with pytest.raises(Missing, match="root 2 has 0 of the 2 signatures"):
        rotation.apply(publisher.repository, draft, publisher.now)
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    publisher.keyring.keys.pop(old.keyid, None)
    release(publisher, "20261202.1")
    assert versions(seen(publisher, "alpha", cache)) == versions(seen(publisher, "alpha"))
    assert cache["root.json"] != publisher.given
    assert not bad(publisher)


def test_a_lost_key_is_replaced_again_after_a_crash_between_root_and_timestamp(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    draft = publisher.next_root()
    ceremony.replace_keys(draft, "timestamp", [publisher.keyring.make("timestamp-2")])
    ceremony.sign(draft, publisher.keyring)
    del publisher.keyring.keys[publisher.online["timestamp"][0].keyid]
    for n in range(10):
        p = replace_storage(publisher, Dying(publisher.folder / "repo", n), publisher.folder / "memory")
        with suppress(Killed):
            rotation.apply(p.repository, draft, publisher.now)
            break
    assert versions(seen(publisher, "alpha")) == ["20261201.1"]
    assert not bad(publisher)


def test_root_keys_are_replaced_with_two_of_three(publisher: Publisher) -> None:
    """One root key is lost: two sign for three new ones, and the new ones for themselves."""
    del publisher.keyring.keys[publisher.roots[0].keyid]
    draft = publisher.next_root()
    new = [publisher.keyring.make(f"root-{n}") for n in (4, 5, 6)]
    ceremony.replace_keys(draft, "root", new)
    assert f"  - {publisher.roots[0].keyid}" in ceremony.described(draft, publisher.repository.load().root)
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    assert load(publisher.storage, publisher.given, MemoryCache()).root.version == 2
    assert seen(publisher, "stable").entries == ()


def test_a_draft_travels_as_a_file(publisher: Publisher) -> None:
    old = publisher.repository.load().root
    draft = publisher.next_root()
    everybody = dict(publisher.keyring.keys)
    for n, key in enumerate(publisher.roots[:2]):
        assert [len(v.signed) for v in ceremony.votes(draft, old)] == [n, n]
        publisher.keyring.keys = {key.keyid: key}
        draft = ceremony.decode(ceremony.encode(draft), "draft")
        assert ceremony.sign(draft, publisher.keyring) == [key]
    publisher.keyring.keys = everybody
    rotation.apply(publisher.repository, ceremony.decode(ceremony.encode(draft), "draft"), publisher.now)
    assert publisher.repository.load().root.version == 2


def test_who_signs_elsewhere_sees_what_changes(publisher: Publisher) -> None:
    """On a machine that has nothing but the draft, and with a root that its owner has kept."""
    old, fresh = publisher.online["snapshot"][0].keyid, publisher.keyring.make("snapshot-2")
    draft = publisher.next_root()
    ceremony.replace_keys(draft, "snapshot", [fresh])
    ceremony.replace_keys(draft, "root", publisher.roots, 1)
    draft = ceremony.decode(ceremony.encode(draft), "draft")
    for held, known in ((None, "as the draft has it"), (publisher.draft, "which is yours or vouched for")):
        root, words = ceremony.compared(draft, None, held)
        assert known in words
        lines = ceremony.described(draft, root)
        assert {f"  - {old}", f"  + {fresh.keyid}", "root: needs 1 of (2 before)"} <= set(lines)
        assert sum(line.startswith("  + ") for line in lines) == 1


def test_a_root_that_was_kept_vouches_for_later_ones(publisher: Publisher) -> None:
    """Signed by enough of its root keys: who did not sign every root can still tell."""
    first = publisher.draft
    for _ in range(2):
        draft = publisher.next_root()
        ceremony.sign(draft, publisher.keyring)
        rotation.apply(publisher.repository, draft, publisher.now)
    assert ceremony.compared(publisher.next_root(), None, first)[0] == publisher.repository.load().root
    draft = publisher.next_root()
    ceremony.replace_keys(draft, "root", [publisher.keyring.make(f"root-{n}") for n in (4, 5)])
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    assert ceremony.compared(publisher.next_root(), None, first)[0] == publisher.repository.load().root
    draft = publisher.next_root()
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    with pytest.raises(Refused, match="root 1 does not vouch for"):
        ceremony.compared(publisher.next_root(), None, first)


def test_a_draft_made_from_another_root_is_not_signed(publisher: Publisher, tmp_path: Path) -> None:
    """A publisher's computer that was broken into puts its own keys into what is called the root before."""
    thief = Publisher(tmp_path / "thief")
    thief.create()
    draft = thief.next_root()
    for own, held in ((publisher.draft, None), (None, publisher.draft)):
        with pytest.raises(Refused, match="made from a"):
            ceremony.compared(draft, own, held)
    lying = publisher.next_root()
    lying.unrecognized_fields[ceremony.BEFORE]["signed"]["roles"]["snapshot"]["threshold"] = 2
    with pytest.raises(Refused, match="root 1 is signed by 0"):
        ceremony.compared(lying, None, None)
    later = thief.next_root()
    ceremony.sign(later, thief.keyring)
    for field in ({}, {ceremony.BEFORE: "none"}, {ceremony.BEFORE: later.to_dict()}):
        draft.unrecognized_fields = field
        with pytest.raises(BadInput, match="the draft of root 2"):
            ceremony.sign(draft, thief.keyring)


def test_a_root_is_signed_by_root_keys_alone(publisher: Publisher) -> None:
    """Even of one that is replaced by it, and by nobody else whose key is at hand."""
    roots = {key.keyid for key in publisher.roots}
    assert set(publisher.draft.signatures) == roots
    draft = publisher.next_root()
    fresh = [publisher.keyring.make(f"root-{n}") for n in (4, 5)]
    ceremony.replace_keys(draft, "root", fresh)
    ceremony.sign(draft, publisher.keyring)
    assert set(draft.signatures) == roots | {key.keyid for key in fresh}
    rotation.apply(publisher.repository, draft, publisher.now)
    assert b"root_before" not in (publisher.storage.read("metadata/2.root.json") or b"")


def test_drafts_that_are_none(publisher: Publisher) -> None:
    for raw in (b"", b"{}", publisher.storage.read("metadata/timestamp.json") or b""):
        with pytest.raises(BadInput, match="is not a valid root draft"):
            ceremony.decode(raw, "x")
    draft, late = publisher.next_root(), publisher.next_root()
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    ceremony.replace_keys(late, "snapshot", [publisher.keyring.make("snapshot-2")])
    with pytest.raises(BadInput, match="the draft is root 2, the repository is at root 2"):
        rotation.apply(publisher.repository, late, publisher.now)
    with pytest.raises(BadInput, match="cannot need 2 of 1 keys"):
        ceremony.replace_keys(draft, "root", publisher.roots[:1])
    with pytest.raises(BadInput, match="4 of 3 root keys"):
        ceremony.first({"root": publisher.roots, **publisher.online}, 4, publisher.now)
