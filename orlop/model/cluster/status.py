"""How a cluster's store is, as one server sees it: what `orlop cluster status` says, and its JSON.

Written by orlop.node.cluster after each look, read by its verb and by the operator's command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from orlop.model.cluster.names import Role
from orlop.model.words.strict import Fields, parse_json, stamp

SCHEMA = 1
LARGEST = 1 << 18  # bytes
STALE = timedelta(seconds=30)  # a server that has not looked for so long does not know how it is


@dataclass(frozen=True)
class MemberStatus:
    """`behind`: entries of the log that it has yet to apply; `bytes`: of its database; `version`: of etcd. All of it
    only when it answers.
    """

    name: str
    host: str
    is_learner: bool = False
    is_leader: bool = False
    answers: bool = False
    behind: int = 0
    bytes: int = 0
    bytes_used: int = 0
    troubles: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True)
class SnapshotStatus:
    """Those that this server takes by itself. `at`: when the newest that it has was taken, `stored`: the newest in the
    storage, as far as this server put it there; `bytes`: of the last one it took since it was started, 0 before;
    `every`: seconds; the troubles are empty when there is none.
    """

    at: datetime | None = None
    kept: int = 0
    bytes: int = 0
    every: int = 0
    stored: datetime | None = None
    trouble: str = ""
    store_trouble: str = ""


@dataclass(frozen=True)
class ClusterStatus:
    """`at`: when this server looked; `ends`: when its certificate for the store does, None without one."""

    name: str
    role: Role
    machine: str
    at: datetime
    is_well: bool
    why: str
    size: int = 0
    members: tuple[MemberStatus, ...] = ()
    waiting: int = 0
    ends: datetime | None = None
    snapshots: SnapshotStatus = field(default_factory=SnapshotStatus)


def text(status: ClusterStatus) -> str:
    """As JSON."""
    document = {"schema": SCHEMA, **asdict(status), "at": stamp(status.at)}
    document["ends"] = _stamp(status.ends)
    document["snapshots"] |= {"at": _stamp(status.snapshots.at), "stored": _stamp(status.snapshots.stored)}
    return json.dumps(document, indent=1) + "\n"


def _stamp(moment: datetime | None) -> str | None:
    return stamp(moment) if moment else None


def parse(raw: bytes) -> ClusterStatus:
    """Raises BadInput."""
    fields = Fields.of("", parse_json(raw, LARGEST))
    fields.number("schema", SCHEMA, SCHEMA)
    return ClusterStatus(
        name=fields.line("name", 100),
        role=Role(fields.choice("role", *Role)),
        machine=fields.line("machine", 32),
        at=fields.moment("at"),
        is_well=fields.value("is_well", bool),
        why=fields.line("why", 2000),
        size=fields.number("size", 0, 9),
        members=tuple(map(_member, fields.items("members", 32))),
        waiting=fields.number("waiting", 0, 1000),
        ends=fields.moment("ends") if fields.has("ends") else None,
        # a server that is not updated yet says nothing of them
        snapshots=_snapshots(fields.fields("snapshots")) if fields.has("snapshots") else SnapshotStatus(),
    )


def _snapshots(fields: Fields) -> SnapshotStatus:
    return SnapshotStatus(
        at=fields.moment("at") if fields.has("at") else None,
        kept=fields.number("kept", 0, 100_000),
        bytes=fields.number("bytes", 0, 1 << 62),
        every=fields.number("every", 0, 1 << 31),
        stored=fields.moment("stored") if fields.has("stored") else None,
        trouble=fields.line("trouble", 1000, empty=True),
        store_trouble=fields.line("store_trouble", 1000, empty=True),
    )


def _member(fields: Fields) -> MemberStatus:
    return MemberStatus(
        name=fields.line("name", 200, empty=True),  # until it has started
        host=fields.line("host", 300),
        is_learner=fields.value("is_learner", bool),
        is_leader=fields.value("is_leader", bool),
        answers=fields.value("answers", bool),
        behind=fields.number("behind", 0, 1 << 62),
        bytes=fields.number("bytes", 0, 1 << 62),
        bytes_used=fields.number("bytes_used", 0, 1 << 62),
        troubles=tuple(fields.texts("troubles")),
        version=fields.line("version", 20, empty=True) if fields.has("version") else "",
    )


def lines(status: ClusterStatus, now: datetime) -> Iterator[str]:
    """For people."""
    yield f"cluster {status.name}: {'well' if status.is_well else 'not well'}: {status.why}"
    if now - status.at > STALE:
        yield f"  this was {stamp(status.at)}: the server has not looked since"
    for member in status.members:
        yield f"  {member.name or '(not started)':<20} {member.host:<16} {', '.join(_words(member))}"
    if status.waiting:
        yield f"  {status.waiting} more server{'s wait' if status.waiting > 1 else ' waits'} for a place"
    yield from _snapshot_lines(status.snapshots)
    if status.ends:
        yield f"  certificate of this server until {stamp(status.ends)}; it is made anew long before"


def _snapshot_lines(snapshots: SnapshotStatus) -> Iterator[str]:
    if snapshots.at:
        yield f"  last snapshot on this server {stamp(snapshots.at)}, {snapshots.kept} kept"
    if snapshots.stored:
        yield f"  last snapshot in the storage {stamp(snapshots.stored)}"
    for trouble in filter(None, (snapshots.trouble, snapshots.store_trouble)):
        yield f"  {trouble}"


def _words(member: MemberStatus) -> Iterator[str]:
    yield "leader" if member.is_leader else "learner" if member.is_learner else "follower"
    if not member.answers:
        yield "does not answer"
        return
    yield f"{member.behind} behind" if member.behind else "caught up"
    yield f"{member.bytes / 1e6:.1f} MB, {member.bytes_used / 1e6:.1f} in use"
    yield from member.troubles
