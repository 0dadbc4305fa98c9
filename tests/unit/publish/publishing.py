"""What a publisher does in the tests, and what machines see of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from orlop.built import BuiltImage
from orlop.model.release.channel import Channel
from orlop.model.release.rollout import PLANS
from orlop.model.words.version import Version
from orlop.publish.channels import edits
from orlop.publish.content import publish
from orlop.publish.content.publish import Publication
from orlop.publish.repository.audit import AuditFinding, audit
from orlop.publish.repository.repository import Repository, RepositoryState, StorageFetch
from orlop.publish.storage.storage import FolderStorage, Storage
from orlop.steps import Steps
from orlop.trust import releases
from orlop.trust.cache import FolderCache, MemoryCache
from simulators.publisher import Publisher, make_image

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


def release(
    p: Publisher, version: str, *, channel: str = "alpha", patches: int = 0, changed: int = 0
) -> RepositoryState:
    image = p.folder / "images" / version
    built = BuiltImage.read(image if image.exists() else make_image(p.folder / "images", version, changed))
    work = p.folder / "work"
    work.mkdir(exist_ok=True)
    state = p.repository.load()
    wish = Publication(channel, AT_ONCE, predecessors=patches)
    plan = publish.plan(p.storage, state, built, wish, work, NO_ZSTD, Steps(quiet=True), p.now)
    return p.repository.commit(state, plan.change, p.now)


def promote(p: Publisher, source: str, target: str, version: Version | None = None) -> RepositoryState:
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


def bad(p: Publisher, *, bytes_too: bool = True) -> list[AuditFinding]:
    return [f for f in audit(StorageFetch(p.storage), p.storage, p.given, p.now, bytes_too=bytes_too) if not f.good]


def replace_storage(publisher: Publisher, storage: Storage, memory: Path) -> Publisher:
    p = copy.copy(publisher)
    p.storage = storage
    p.repository = Repository(storage, publisher.keyring, publisher.given, FolderCache(memory))
    return p
