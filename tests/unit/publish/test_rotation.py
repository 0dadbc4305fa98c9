"""New keys after a thief of the old ones has signed what nobody can go on from ("fast forward")."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from tuf.api.metadata import Metadata, MetaFile, Signed
from tuf.api.serialization.json import JSONSerializer

from orlop.errors import OrlopError
from orlop.net.errors import Unreachable
from orlop.publish.repository.repository import Change
from orlop.publish.roots import ceremony, rotation
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused
from orlop.trust.verify import MAX_VERSION
from simulators.publisher import Publisher
from tests.unit.publish.publishing import Dying, Killed, bad, release, replace_storage, seen, versions

LAST = MAX_VERSION - 1


def put(p: Publisher, role: str, signed: Signed) -> None:
    """What a thief signs with the key of a role, on the server."""
    metadata: Metadata[Signed] = Metadata(signed)  # type: ignore[type-var]
    metadata.sign(p.keyring.signer(p.online[role][0]))
    name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
    p.storage.write(f"metadata/{name}", metadata.to_bytes(JSONSerializer(compact=True)))


def last_timestamp(p: Publisher) -> None:
    timestamp = p.repository.load().timestamp
    timestamp.version = LAST
    put(p, "timestamp", timestamp)


def snapshot_that_is_not_there(p: Publisher) -> None:
    timestamp = p.repository.load().timestamp
    timestamp.version, timestamp.snapshot_meta = LAST, MetaFile(LAST)
    put(p, "timestamp", timestamp)


def last_snapshot(p: Publisher) -> None:
    state = p.repository.load()
    state.snapshot.version = state.timestamp.version = LAST
    put(p, "snapshot", state.snapshot)
    state.timestamp.snapshot_meta = MetaFile(LAST)
    put(p, "timestamp", state.timestamp)


def channel_that_is_not_there(p: Publisher) -> None:
    state = p.repository.load()
    state.snapshot.version += 1
    state.snapshot.meta["alpha.json"] = MetaFile(LAST)
    put(p, "snapshot", state.snapshot)
    state.timestamp.version += 1
    state.timestamp.snapshot_meta = MetaFile(state.snapshot.version)
    put(p, "timestamp", state.timestamp)


THEFTS = pytest.mark.parametrize(
    ("theft", "stolen"),
    [
        (last_timestamp, ("timestamp",)),
        (snapshot_that_is_not_there, ("timestamp",)),
        (last_snapshot, ("snapshot", "timestamp")),
        (channel_that_is_not_there, ("snapshot", "timestamp")),
    ],
)


def new_root(p: Publisher, roles: Sequence[str]) -> ceremony.Draft:
    draft = ceremony.following(p.draft, p.now)
    for role in roles:
        ceremony.replace_keys(draft, role, [p.keyring.make(f"{role}-2")])
    ceremony.sign(draft, p.keyring)
    return draft


@THEFTS
def test_new_keys_end_what_a_thief_has_signed(publisher: Publisher, theft: object, stolen: Sequence[str]) -> None:
    """For machines that have seen it, for others, and for the publisher, who has tried before what does not help."""
    assert callable(theft)
    release(publisher, "20261201.1")
    cache = MemoryCache()
    seen(publisher, "alpha", cache)
    theft(publisher)
    with suppress(Unreachable):
        seen(publisher, "alpha", cache)
    for _ in range(2):
        with pytest.raises(OrlopError):
            publisher.repository.commit(publisher.repository.load(), Change(), publisher.now)
    rotation.apply(publisher.repository, new_root(publisher, stolen), publisher.now)
    assert versions(seen(publisher, "alpha", cache)) == ["20261201.1"]
    release(publisher, "20261202.1")
    assert (
        versions(seen(publisher, "alpha", cache)) == versions(seen(publisher, "alpha")) == ["20261201.1", "20261202.1"]
    )
    state = publisher.repository.load()
    assert state.timestamp.version < 10
    assert state.snapshot.version < 10
    assert not bad(publisher)


@THEFTS
def test_new_keys_after_a_crash(publisher: Publisher, theft: object, stolen: Sequence[str]) -> None:
    assert callable(theft)
    release(publisher, "20261201.1")
    theft(publisher)
    draft = new_root(publisher, stolen)
    for n in range(10):
        p = replace_storage(publisher, Dying(publisher.folder / "repo", n), publisher.folder / "memory")
        with suppress(Killed):
            rotation.apply(p.repository, draft, publisher.now)
            break
    else:
        pytest.fail("it never ended")
    assert versions(seen(publisher, "alpha")) == ["20261201.1"]
    assert not bad(publisher)


def test_what_to_do_is_said(publisher: Publisher) -> None:
    last_timestamp(publisher)
    with pytest.raises(Refused, match=f"timestamp has the number {LAST}: somebody else signs") as refused:
        publisher.repository.commit(publisher.repository.load(), Change(), publisher.now)
    assert "orlop release rotate-keys timestamp" in refused.value.hint


def test_new_keys_for_one_role_do_not_end_what_was_signed_with_another(publisher: Publisher) -> None:
    last_snapshot(publisher)
    for roles in (["timestamp"], ["snapshot"]):
        with pytest.raises(Refused, match="has the number"):
            rotation.apply(publisher.repository, new_root(publisher, roles), publisher.now)


def test_a_key_that_stays_keeps_its_number(publisher: Publisher) -> None:
    """Of two timestamp keys one was stolen: machines that know what the other one signed see no rollback."""
    both = [publisher.online["timestamp"][0], kept := publisher.keyring.make("timestamp-2")]
    draft = publisher.next_root()
    ceremony.replace_keys(draft, "timestamp", both)
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    del publisher.keyring.keys[both[0].keyid]
    for version in ("20261201.1", "20261202.1", "20261203.1"):
        release(publisher, version)
    cache = MemoryCache()
    seen(publisher, "alpha", cache)
    last_timestamp(publisher)
    draft = publisher.next_root()
    ceremony.replace_keys(draft, "timestamp", [kept, publisher.keyring.make("timestamp-3")])
    ceremony.sign(draft, publisher.keyring)
    rotation.apply(publisher.repository, draft, publisher.now)
    assert versions(seen(publisher, "alpha", cache)) == ["20261201.1", "20261202.1", "20261203.1"]


def test_what_machines_will_do(publisher: Publisher) -> None:
    def said(*changed: str) -> str:
        start = rotation.before_rotation(publisher.repository, changed)
        return "; ".join(start.foretold(2, publisher.keyring, changed))

    assert said("timestamp") == "go on to root 2 at their next check"
    lost = publisher.keyring.keys.pop(publisher.online["timestamp"][0].keyid)
    assert "are refused when they ask between root and timestamp" in said("timestamp")
    publisher.keyring.add(lost)
    last_timestamp(publisher)
    assert "forget the number of timestamp" in said("timestamp")
