"""Publishing against the machine's own code: what was signed is believed, at every moment of every change."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from orlop.control.releases import ceremony, edits, gc, publish
from orlop.control.releases.audit import Finding, audit
from orlop.control.releases.publish import Built, Wish
from orlop.control.releases.repository import Change, Repository, State, StorageFetch, load
from orlop.control.releases.s3 import S3Storage
from orlop.control.releases.storage import FolderStorage, Storage
from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.channel import Channel
from orlop.model.policy import Go, Machine, answer
from orlop.model.rollout import PLANS
from orlop.model.version import Version
from orlop.steps import Steps
from orlop.trust import releases
from orlop.trust.cache import FolderCache, MemoryCache
from orlop.trust.errors import Expired, Refused, Unreachable
from tests.simulators.s3 import WHO, storing
from tests.unit.control.releases.images import Publisher, make_image

NO_ZSTD: Sequence[str] = ()
AT_ONCE = PLANS["at-once"][0]
HOUR = timedelta(hours=1)


class Killed(BaseException):
    pass


class Dying(FolderStorage):
    """A folder whose writer is killed before the n-th change of a file."""

    def __init__(self, folder: Path, left: int) -> None:
        super().__init__(folder)
        self.left = left

    def _step(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def write(self, path: str, data: bytes) -> None:
        self._step()
        super().write(path, data)

    def upload(self, path: str, source: Path, sha256: str) -> None:
        self._step()
        super().upload(path, source, sha256)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path)
    made.create()
    return made


def release(p: Publisher, version: str, *, channel: str = "alpha", patches: int = 0, changed: int = 0) -> State:
    image = p.folder / "images" / version
    built = Built.read(image if image.exists() else make_image(p.folder / "images", version, changed))
    work = p.folder / "work"
    work.mkdir(exist_ok=True)
    state = p.repository.load()
    wish = Wish(channel, AT_ONCE, predecessors=patches)
    plan = publish.plan(p.storage, state, built, wish, work, NO_ZSTD, Steps(quiet=True), p.now)
    return p.repository.commit(state, plan.change, p.now)


def promote(p: Publisher, source: str, target: str, version: Version | None = None) -> State:
    state = p.repository.load()
    made = edits.promote(state.document(source), state.document(target), version, AT_ONCE, p.now)
    assert made.newest is not None
    chosen = version or made.newest.version
    work = p.folder / "work"
    change = publish.promotion(p.storage, state, source, made, chosen, work, NO_ZSTD, Steps(quiet=True), 0)
    return p.repository.commit(state, change, p.now)


def seen(p: Publisher, channel: str, cache: MemoryCache | None = None) -> Channel:
    """What a machine sees; a new one unless it has a cache."""
    fetch = StorageFetch(p.storage)
    return releases.check(p.given, MemoryCache() if cache is None else cache, fetch, channel, p.now).channel


def versions(channel: Channel) -> list[str]:
    return [str(e.version) for e in channel.entries]


def bad(p: Publisher, *, bytes_too: bool = True) -> list[Finding]:
    return [f for f in audit(StorageFetch(p.storage), p.given, p.now, bytes_too=bytes_too) if not f.good]


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
        state = p.repository.load()
        draft = ceremony.following(state.root, p.now)
        draft.signed.version = 2
        ceremony.replace_keys(draft, role, [p.spare])  # type: ignore[attr-defined]
        ceremony.sign(draft, p.keyring)
        return ceremony.apply(p.repository, draft, p.now)

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


def replace_storage(publisher: Publisher, storage: Storage, memory: Path) -> Publisher:
    p = copy.copy(publisher)
    p.storage = storage
    p.repository = Repository(storage, publisher.keyring, publisher.given, FolderCache(memory))
    return p


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


def test_one_channel_that_expired_does_not_stop_the_others(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    publisher.now += timedelta(days=100)
    publisher.repository.commit(publisher.repository.load(), Change(renew=["alpha"]), publisher.now)
    assert versions(seen(publisher, "alpha")) == ["20261201.1"]
    with pytest.raises(Expired, match=r"^beta"):
        seen(publisher, "beta")
    assert [f.what.partition(":")[0] for f in bad(publisher)] == ["channel beta", "channel stable"]


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


def test_an_audit_finds_what_is_missing_and_what_is_damaged(publisher: Publisher) -> None:
    release(publisher, "20261201.1")
    blob = next(p for p in (publisher.folder / "repo/blobs").iterdir() if p.stat().st_size == 64 * 4096)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    assert not bad(publisher, bytes_too=False)
    assert ["is damaged" in f.what for f in bad(publisher)] == [True]
    blob.unlink()
    assert ["is missing" in f.what for f in bad(publisher, bytes_too=False)] == [True]
    index = next((publisher.folder / "repo/targets/alpha").glob("*.index.json"))
    index.unlink()
    assert any(".index.json" in f.what for f in bad(publisher))
    (publisher.folder / "repo/metadata/timestamp.json").unlink()
    assert len(bad(publisher)) == 1


def test_an_image_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="is no image"):
        Built.read(tmp_path)
    image = make_image(tmp_path, "20261201.1")
    (image / "manifest.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        Built.read(image)


def test_errors_are_for_people(publisher: Publisher) -> None:
    with pytest.raises(OrlopError, match="the repository has no channel edge") as e:
        publisher.repository.load().document("edge")
    assert "alpha, beta, stable" in e.value.hint
    release(publisher, "20261202.1")
    with pytest.raises(BadInput, match=r"has 20261202.1 already: 20261201.1 is not newer"):
        release(publisher, "20261201.1")
