"""Snapshots that a server takes by itself: into a folder of its own, and from the leader's server into storage as well.

    due (model.cluster.snapshots) ──→ take, from this server's member ──→ let the oldest go
                                  └─→ the leader's server: put the newest into the storage ──→ let the oldest go

Lifetime: the membership loop's; the work is done in a thread, one at a time, so that a slow disk or storage holds up
nobody. Invariant: a file in the folder is whole, and its hash was right when it came. What fails is said, and tried
again; the snapshots that are there stay.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from orlop.cluster.settings import ClusterSettings, secret
from orlop.errors import OrlopError
from orlop.files import need_space, replacing
from orlop.model.cluster.names import SNAPSHOTS, STORAGE_KEY_PLACE
from orlop.model.cluster.snapshots import SnapshotName, due, parsed, superfluous
from orlop.model.cluster.status import SnapshotStatus
from orlop.model.settings.cluster import STORAGE_KEY
from orlop.net.s3 import Credentials, S3Bucket
from orlop.node.cluster.etcd import Endpoint
from orlop.node.cluster.host import ServerHost

_ROOM = 256 << 20  # bytes that stay free for what else the machine keeps
_PIECE = 1 << 20


@dataclass(frozen=True)
class SnapshotSource:
    """This server's member, as the loop saw it. `bytes`: of its database."""

    endpoint: Endpoint
    revision: int
    bytes: int
    leads: bool


class SnapshotKeeper:
    """`start` runs the work: in a thread, or at once in a test."""

    def __init__(
        self,
        host: ServerHost,
        settings: ClusterSettings,
        machine: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._settings, self._host, self._machine, self._now = settings, host, machine, now
        self._folder = host.path(SNAPSHOTS)
        self._start = start or _in_thread
        self._busy = threading.Lock()
        self._failed: datetime | None = None
        self._stored: datetime | None = None  # when the newest in the storage was taken
        self._store_failed: datetime | None = None
        self._told: dict[str, Any] = {}  # what the thread says, as SnapshotStatus has it

    def turn(self, source: SnapshotSource | None) -> SnapshotStatus:
        """Begin what is due, if this server has a member that answers; say how it is."""
        there = parsed(_names(self._folder))
        now, schedule = self._now(), self._settings.snapshots
        last = there[0].at if there else None
        every = int(schedule.every.total_seconds())
        if source is not None:
            self._work(source, last, now)
        return SnapshotStatus(at=last, kept=len(there), every=every, **self._told)

    def _work(self, source: SnapshotSource, last: datetime | None, now: datetime) -> None:
        schedule = self._settings.snapshots
        stores = self._settings.storage is not None and source.leads
        is_due = due(schedule, last, self._failed, now)
        is_due_there = stores and due(schedule, self._stored, self._store_failed, now)
        if (is_due or is_due_there) and self._busy.acquire(blocking=False):

            def work() -> None:
                try:
                    if is_due:
                        self._take(source)
                    if stores:
                        self._store()
                finally:
                    self._busy.release()

            self._start(work)

    def _take(self, source: SnapshotSource) -> None:
        at = self._now().replace(microsecond=0)
        name = SnapshotName(at, source.revision, self._machine)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for left in self._folder.glob(".making-*"):  # of a run that was killed
                left.unlink()
            need_space(self._folder, source.bytes + _ROOM, "a snapshot")
            with replacing(self._folder / str(name), mode=0o600) as f:
                size = source.endpoint.snapshot(f)
            for old in superfluous(_names(self._folder), self._settings.snapshots.keep):
                (self._folder / old).unlink()
        except (OrlopError, OSError) as e:
            self._failed = self._now()
            self._told.update(trouble=f"no snapshot was taken: {_said(e)}")
        else:
            self._failed = None
            self._told.update(trouble="", bytes=size)

    def _store(self) -> None:
        """The newest one here, unless as new a one is there."""
        here = parsed(_names(self._folder))
        try:
            bucket = self._bucket()
            top = self._settings.name
            there = [name.rpartition("/")[2] for name in bucket.names(top)]
            newest = next(iter(parsed(there)), None)
            if here and (newest is None or newest.revision <= here[0].revision) and str(here[0]) not in there:
                path = self._folder / str(here[0])
                bucket.put(f"{top}/{here[0]}", path, _sha256(path))
                there.append(str(here[0]))
                newest = here[0]
            for old in superfluous(there, self._settings.snapshots.keep):
                bucket.remove(f"{top}/{old}")
        except (OrlopError, OSError) as e:
            self._store_failed = self._now()
            self._told.update(store_trouble=f"no snapshot was put into the storage: {_said(e)}")
        else:
            self._stored, self._store_failed = newest.at if newest else None, None
            self._told.update(store_trouble="", stored=self._stored)

    def _bucket(self) -> S3Bucket:
        assert self._settings.storage is not None
        text = secret(STORAGE_KEY_PLACE, self._host.top).strip()
        key, word = cast("tuple[str, str]", STORAGE_KEY.one(text, STORAGE_KEY.name))
        return S3Bucket(self._settings.storage, Credentials(key, word))


def _in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True, name="snapshot").start()


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return [path.name for path in folder.iterdir()]
    return []


def _sha256(path: Path) -> str:
    sum_ = hashlib.sha256()
    with path.open("rb") as f:
        while piece := f.read(_PIECE):
            sum_.update(piece)
    return sum_.hexdigest()


def _said(e: OrlopError | OSError) -> str:
    return e.message if isinstance(e, OrlopError) else f"{e.filename or 'a file'}: {e.strerror}"
