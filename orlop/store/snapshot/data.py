"""The data of the first member of a new cluster, made from a snapshot: etcd starts with them as if it had them always.

What is taken over are the keys, with their revisions and leases. What is made anew is who the cluster is: its id, its
only member, its log. After the last revision there is one more, much later, and everything before it counts as
compacted: so no program sees a revision twice that meant something else in what was lost since the snapshot, and who
watches from an old one is told that its history is gone (`Compacted`), and reads anew.

Source: etcd's guide to disaster recovery, and `etcdutl snapshot restore --bump-revision --mark-compacted`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orlop.files import sync_dir
from orlop.store.snapshot import bolt, contents, log
from orlop.store.snapshot.bolt import BoltFile, Pair
from orlop.store.snapshot.log import Identity

BUMP = 1_000_000_000  # revisions: more than a cluster makes between two snapshots
DATABASE, SNAP, WAL = "db", "snap", "wal"
_COMPACTED = b"scheduledCompactRev"
_EMPTY = (b"alarm", b"members_removed")  # both are about members that there are no more


def make(folder: Path, database: BoltFile, who: Identity, revision: int, *, bump: int = BUMP,
         alive: Callable[[], None] = lambda: None) -> None:  # fmt: skip
    """Make `folder`, which etcd calls `member`. `revision`: the last one of the snapshot. Raises BadInput, OSError."""
    last = revision + bump
    for each in (folder, folder / SNAP, folder / WAL):
        each.mkdir(mode=0o700)
    buckets: dict[bytes, Iterable[Pair]] = dict.fromkeys(_EMPTY, ())
    for name in set(database.buckets()) - set(_EMPTY):
        buckets[name] = database.pairs(name)
    buckets[contents.KEYS] = _with_last(database.pairs(contents.KEYS), last, alive)
    buckets[b"members"] = [(f"{who.member:x}".encode(), who.json())]
    buckets[b"meta"] = sorted(_meta(database, who, last).items())
    with (folder / SNAP / DATABASE).open("xb") as f:
        os.fchmod(f.fileno(), 0o600)
        bolt.write(f, buckets)
        f.flush()
        os.fsync(f.fileno())
    _write(folder / SNAP / log.SNAPSHOT_FILE, log.snapshot(who))
    _write(folder / WAL / log.WAL_FILE, log.wal(who))
    for each in (folder / SNAP, folder / WAL, folder):
        sync_dir(each)


def _with_last(pairs: Iterable[tuple[bytes, memoryview]], last: int, alive: Callable[[], None]) -> Iterator[Pair]:
    for key, value in pairs:
        alive()
        yield key, value
    yield contents.revision_key(last), b""


def _meta(database: BoltFile, who: Identity, last: int) -> dict[bytes, bytes]:
    meta = {key: bytes(value) for key, value in database.pairs(b"meta")}
    return meta | {
        b"consistent_index": log.INDEX.to_bytes(8),
        b"term": log.TERM.to_bytes(8),
        b"confState": log.voters_json(who),
        _COMPACTED: contents.revision_key(last),
    }


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
