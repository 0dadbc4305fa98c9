"""Publishing against the machine's own code: what was signed is believed, at every moment of every change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.built import BuiltImage
from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.release.channel import Channel
from orlop.model.release.policy import Go, Machine, answer
from orlop.model.words.version import Version
from orlop.net.errors import Unreachable
from orlop.publish.channels import edits
from orlop.publish.repository import gc
from orlop.publish.repository.repository import Change, StorageFetch
from orlop.publish.roots import ceremony, rotation
from orlop.publish.storage.s3 import S3Storage
from orlop.trust import releases
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Expired, Refused
from simulators.publisher import Publisher, make_image
from simulators.s3 import WHO, storing
from tests.unit.publish.publishing import (
    AT_ONCE,
    HOUR,
    Dying,
    Killed,
    bad,
    promote,
    release,
    replace_storage,
    seen,
    versions,
)


def test_a_new_repository_has_every_channel_and_no_version(publisher: Publisher) -> None:
    for name in ("alpha", "beta", "stable"):
        assert seen(publisher, name).entries == ()
    assert not bad(publisher)


def test_from_publishing_to_a_machine_that_goes(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    release(publisher, "20261202.1", changed=3)
    document = seen(publisher, "alpha")
    assert versions(document) == ["20261201.1", "20261202.1"]
    fetch, cache = StorageFetch(publisher.storage), MemoryCache()
    found = releases.check(publisher.given, cache, fetch, "alpha", publisher.now)
    go = answer(document, Machine(Version.parse("20261201.1"), "alpha", b"s"), publisher.now + HOUR)
    assert isinstance(go, Go)
    index = releases.index(found, go, cache, fetch)
    for part in (index.usr, index.verity, index.uki):
        raw = publisher.storage.read(part.blob.path)
        assert raw is not None
        assert len(raw) == part.size
    assert not bad(publisher)


def test_a_check_when_nothing_changed_is_one_request_of_half_a_kilobyte(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    cache, asked = MemoryCache(), []
    seen(publisher, "alpha", cache)

    def counted(path: str, most: int) -> bytes | None:
        raw = StorageFetch(publisher.storage)(path, most)
        asked.append((path, len(raw or b"")))
        return raw

    assert not releases.check(publisher.given, cache, counted, "alpha", publisher.now).changed
    assert [path for path, _ in asked] == ["metadata/timestamp.json"]
    assert asked[0][1] < 500


def test_promotion_is_the_same_bytes(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    blobs = sorted(publisher.storage.names("blobs"))
    promote(publisher, "alpha", "beta")
    promote(publisher, "beta", "stable")
    assert sorted(publisher.storage.names("blobs")) == blobs
    for name in ("alpha", "beta", "stable"):
        assert versions(seen(publisher, name)) == ["20261201.1"]
    hashes = {p.name.partition(".")[0] for p in (publisher.folder / "repo/targets").rglob("*.index.json")}
    assert len(hashes) == 1
    assert not bad(publisher)


def steps_of(p: Publisher) -> dict[str, Callable[[Publisher], object]]:
    """Every kind of change, as what a publisher does to a repository that has two versions on alpha and one on beta."""

    def say(edit: Callable[[Channel], Channel]) -> Callable[[Publisher], object]:
        def change(p: Publisher) -> object:
            state = p.repository.load()
            return p.repository.commit(state, Change(documents={"alpha": edit(state.document("alpha"))}), p.now)

        return change

    def rotate(p: Publisher, role: str) -> object:
        draft = ceremony.following(p.draft, p.now)
        ceremony.replace_keys(draft, role, [p.spare])  # type: ignore[attr-defined]
        ceremony.sign(draft, p.keyring)
        return rotation.apply(p.repository, draft, p.now)

    def collect(p: Publisher) -> None:
        gc.collect(p.storage, gc.garbage(p.storage, p.repository.load()))

    now = p.now
    return {
        "publish": lambda p: release(p, "20261203.1", changed=2),
        "promote": lambda p: promote(p, "alpha", "beta"),
        "halt": say(lambda c: edits.halt(c, None, "it crashes", now)),
        "pull back": say(lambda c: edits.pull_back(c, None, None, "it crashes", AT_ONCE, now)),
        "renew": lambda p: p.repository.commit(p.repository.load(), Change(renew=["targets", "alpha", "beta"]), now),
        "rotate timestamp": lambda p: rotate(p, "timestamp"),
        "rotate snapshot": lambda p: rotate(p, "snapshot"),
        "rotate targets": lambda p: rotate(p, "targets"),
        "gc": collect,
    }


@pytest.mark.parametrize("name", ["publish", "promote", "halt", "pull back", "renew", "rotate timestamp",
                                  "rotate snapshot", "rotate targets", "gc"])  # fmt: skip
def test_a_crash_at_any_write_leaves_a_repository_that_machines_accept(publisher: Publisher, name: str) -> None:
    """Killed before the n-th write, for every n: old machines and new ones check without a complaint.

    Then the same change is made again and gets there.
    """
    release(publisher, "20261201.1")
    release(publisher, "20261202.1", changed=3)
    promote(publisher, "alpha", "beta", Version.parse("20261201.1"))
    publisher.spare = publisher.keyring.make("spare")  # type: ignore[attr-defined]
    make_image(publisher.folder / "images", "20261203.1", 2)
    known = {channel: MemoryCache() for channel in ("alpha", "beta")}
    for channel, cache in known.items():
        seen(publisher, channel, cache)
    before, memory = publisher.folder / "repo", publisher.folder / "memory"
    change = steps_of(publisher)[name]
    n, done = -1, False
    while not done:
        n += 1
        again = publisher.folder / "again"
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(before, again / "repo")
        shutil.copytree(memory, again / "memory")
        storage = Dying(again / "repo", n)
        p = replace_storage(publisher, storage, again / "memory")
        try:
            change(p)
            done = True
        except Killed:
            pass
        storage.left = 10_000
        for channel, cache in known.items():
            seen(p, channel)
            seen(p, channel, MemoryCache(cache))
        assert not bad(p), n
        if not done:
            change(p)
            assert not bad(p), n
    assert n > 0


def test_creating_a_repository_can_be_killed_and_begun_again(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    for n in range(20):
        p = replace_storage(publisher, Dying(tmp_path / "repo", n), tmp_path / "memory")
        with suppress(Killed):
            p.create()
            break
        assert p.storage.read("metadata/timestamp.json") is None
    assert not bad(publisher)


def test_in_s3_an_interrupted_publication_goes_on_where_it_was(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    with storing() as (url, bucket):
        p = replace_storage(publisher, S3Storage(url, WHO), tmp_path / "memory")
        p.create()
        release(p, "20261201.1")
        bucket.puts.clear()
        bucket.die_after = 3
        with pytest.raises(Unreachable):
            release(p, "20261202.1", changed=3)
        assert versions(seen(p, "alpha")) == ["20261201.1"]
        bucket.die_after = None
        assert len(bucket.puts) == 3
        release(p, "20261202.1")
        blobs = [key for key in bucket.puts if "/blobs/" in key]
        assert len(blobs) == len(set(blobs)) >= 3  # none was sent twice
        assert versions(seen(p, "alpha")) == ["20261201.1", "20261202.1"]
        assert not bad(p)


def test_what_cannot_be_signed_here_is_not_written(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    files = {p: publisher.storage.read(p) for p in publisher.storage.names(".")}
    del publisher.keyring.keys[publisher.channels["alpha"].keyid]
    with pytest.raises(Missing, match="alpha is signed by 1 of the keys"):
        release(publisher, "20261202.1")
    del publisher.keyring.keys[publisher.online["snapshot"][0].keyid]
    with pytest.raises(Missing, match="snapshot is signed by"):
        promote(publisher, "alpha", "beta")
    assert {p: publisher.storage.read(p) for p in publisher.storage.names(".")} == files


def test_a_damaged_image_is_refused_before_it_is_published(publisher: Publisher) -> None:
    image = make_image(publisher.folder / "images", "20261201.1")
    usr = next(image.glob("*.usr.raw"))
    usr.write_bytes(usr.read_bytes()[:-1] + b"!")
    with pytest.raises(BadInput, match="is not what its index says"):
        release(publisher, "20261201.1")
    assert versions(seen(publisher, "alpha")) == []


def test_a_repository_that_was_tampered_with_is_not_signed_on_top_of(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    document = next(p for p in (publisher.folder / "repo/targets/alpha").iterdir() if "channel" in p.name)
    whole = document.read_bytes()
    document.write_bytes(whole.replace(b"20261201.1", b"20261201.9"))
    with pytest.raises(Refused, match=r"is not what was signed"):
        publisher.repository.load()
    document.write_bytes(whole)
    publisher.repository.load()


def test_a_repository_that_was_rolled_back_is_not_signed_on_top_of(publisher: Publisher, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "repo", tmp_path / "old")
    release(publisher, "20261201.1")
    shutil.rmtree(tmp_path / "repo")
    (tmp_path / "old").rename(tmp_path / "repo")
    with pytest.raises(Refused, match="a rollback"):
        publisher.repository.load()


def test_renewing_what_has_expired(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    publisher.now += timedelta(days=20)
    with pytest.raises(Expired):
        seen(publisher, "alpha")
    publisher.repository.commit(publisher.repository.load(), Change(), publisher.now)
    assert versions(seen(publisher, "alpha")) == ["20261201.1"]


def test_a_role_that_cannot_be_signed_here_does_not_keep_the_others_from_being_renewed(publisher: Publisher) -> None:
    """Targets takes two keys; one is here, then none."""
    ring, both = publisher.keyring, [publisher.keyring.make(name) for name in ("t-a", "t-b")]
    draft = publisher.next_root()
    ceremony.replace_keys(draft, "targets", both, 2)
    ceremony.sign(draft, ring)
    state = rotation.apply(publisher.repository, draft, publisher.now)
    publisher.now += timedelta(days=300)
    assert publisher.repository.due(state, publisher.now) == (["targets", "alpha", "beta", "stable"], [])
    for have in (1, 0):
        del ring.keys[both[have].keyid]
        due, cannot = publisher.repository.due(state, publisher.now)
        assert cannot == [f"targets ({have} of the 2 keys it needs are here)"]
        publisher.repository.commit(publisher.repository.load(), Change(renew=due), publisher.now)
        assert versions(seen(publisher, "alpha")) == []


def test_one_channel_that_expired_does_not_stop_the_others(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    publisher.now += timedelta(days=100)
    publisher.repository.commit(publisher.repository.load(), Change(renew=["alpha"]), publisher.now)
    assert versions(seen(publisher, "alpha")) == ["20261201.1"]
    with pytest.raises(Expired, match=r"^beta"):
        seen(publisher, "beta")
    assert [f.what.partition(":")[0] for f in bad(publisher)] == ["channel beta", "channel stable"]


def test_garbage_is_what_nothing_leads_to(publisher: Publisher) -> None:
    for n in range(1, 6):
        release(publisher, f"2026120{n}.1", changed=n)
    assert {g.path.partition("/")[0] for g in gc.garbage(publisher.storage, publisher.repository.load())} == {
        "metadata", "targets",
    }  # fmt: skip
    publisher.now += timedelta(days=2)
    state = publisher.repository.load()
    made, gone = edits.forget(state.document("alpha"), 2, publisher.now)
    assert [str(e.version) for e in gone] == ["20261201.1", "20261202.1", "20261203.1"]
    drop = [i.index for e in gone for i in e.images]
    state = publisher.repository.commit(state, Change(documents={"alpha": made}, drop={"alpha": drop}), publisher.now)
    publisher.repository.commit(state, Change(), publisher.now)
    found = gc.garbage(publisher.storage, publisher.repository.load())
    assert sum(g.path.startswith("blobs/") for g in found) >= 3 * 3  # a usr, a verity tree and an SBOM each
    gc.collect(publisher.storage, found)
    assert gc.garbage(publisher.storage, publisher.repository.load()) == []
    assert not bad(publisher)


def test_an_image_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="is no image"):
        BuiltImage.read(tmp_path)
    image = make_image(tmp_path, "20261201.1")
    (image / "manifest.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        BuiltImage.read(image)


def test_errors_are_for_people(publisher: Publisher) -> None:
    with pytest.raises(OrlopError, match="the repository has no channel edge") as e:
        publisher.repository.load().document("edge")
    assert "alpha, beta, stable" in e.value.hint
    release(publisher, "20261202.1")
    with pytest.raises(BadInput, match=r"has 20261202.1 already: 20261201.1 is not newer"):
        release(publisher, "20261201.1")
