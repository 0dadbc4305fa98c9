"""The rules by which signed metadata is believed, pure: bytes and what is trusted in, what is trusted then out.

The order is the specification's (TUF 1.0, *detailed client workflow*): root after root, timestamp, snapshot, targets,
delegated targets. Each function takes a `Trusted` and gives a new one or raises `Refused`; nothing is changed in place,
so a refusal leaves what was trusted as it was.

Invariants:
- Everything is judged at one moment, `now`, which never changes within a check.
- What is loaded may be expired only to prove that something newer is not older than it: the next step in the order asks
  for fresh ones.
- Delegated metadata counts for the delegator whose keys it was verified with, and for no other.
- A threshold counts keys, not their names: one key under two names is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from securesystemslib.exceptions import Error as CannotSay
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError, SerializationError

from orlop.trust.errors import Expired, Refused

MAX_ROOT = 256 << 10  # bytes
MAX_TIMESTAMP = 16 << 10
MAX_SNAPSHOT = 1 << 20
MAX_TARGETS = 2 << 20
MAX_ROTATIONS = 1024  # new roots in one check
MAX_ROLES = 64  # roles asked for one target
MAX_VERSION = 1 << 53
HINT = "nothing was changed; if it stays, the repository was tampered with or its publisher must be told"
CLOCK_HINT = "check this machine's clock; if it is right, the server holds back, or nobody renewed the repository"

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)
Edge = tuple[str, str]  # (delegator, role)


@dataclass(frozen=True)
class Trusted:
    """What is believed at `now`. `roles` is keyed by (delegator, role)."""

    root: Root
    now: datetime
    timestamp: Timestamp | None = None
    snapshot: Snapshot | None = None
    roles: Mapping[Edge, Targets] = field(default_factory=dict)


def given_root(raw: bytes) -> Root:
    """The root that a machine or an image is given: it vouches for itself. It may be expired: newer ones follow."""
    if len(raw) > MAX_ROOT:
        raise Refused(f"the metadata of root has {len(raw)} bytes, at most {MAX_ROOT} are read", hint=HINT)
    root = _parsed(raw, Root, "root")
    _signed_by(root.signed, "root", root, root.signed)
    return root.signed


def start(raw: bytes, now: datetime) -> Trusted:
    """From the root that was given to the machine."""
    return Trusted(given_root(raw), now.astimezone(UTC))


def next_root(t: Trusted, raw: bytes) -> Trusted:
    """The root after the trusted one, signed by the keys of both."""
    if t.timestamp is not None:
        raise AssertionError("roots come before the timestamp")
    root = _parsed(raw, Root, "root")
    _signed_by(t.root, "root", root, root.signed)
    _signed_by(root.signed, "root", root, root.signed)
    if root.signed.version != t.root.version + 1:
        raise Refused(f"root {t.root.version} is followed by one that calls itself {root.signed.version}", hint=HINT)
    return replace(t, root=root.signed)


def vouches(root: Root, raw: bytes) -> bool:
    """Whether enough of a root's keys have signed the root in `raw`, however far apart the two are."""
    try:
        other = _parsed(raw, Root, "root")
        _signed_by(root, "root", other, other.signed)
    except Refused:
        return False
    return True


def with_timestamp(t: Trusted, raw: bytes) -> Trusted:
    """With this timestamp; the same trust when it is the version that is trusted already."""
    _fresh(t.root, "root", t.now)
    new = _parsed(raw, Timestamp, "timestamp")
    _signed_by(t.root, "timestamp", new, new.signed)
    old = t.timestamp
    if old is not None:
        if new.signed.version == old.version:
            return t
        _not_older("timestamp", old.version, new.signed.version)
        _not_older("snapshot", old.snapshot_meta.version, new.signed.snapshot_meta.version)
    return replace(t, timestamp=new.signed, snapshot=None, roles={})


def with_snapshot(t: Trusted, raw: bytes, *, cached: bool = False) -> Trusted:
    """With this snapshot. A cached one may be an older one: its hashes were checked when it came."""
    timestamp = fresh_timestamp(t)
    if not cached:
        _matches(timestamp.snapshot_meta, raw, "snapshot")
    new = _parsed(raw, Snapshot, "snapshot")
    _signed_by(t.root, "snapshot", new, new.signed)
    if not cached and new.signed.version != timestamp.snapshot_meta.version:
        raise Refused(
            f"the timestamp names snapshot {timestamp.snapshot_meta.version}, the server sent {new.signed.version}",
            hint=HINT,
        )
    if t.snapshot is not None:
        for name, old in t.snapshot.meta.items():
            listed = new.signed.meta.get(name)
            if listed is None:
                raise Refused(f"snapshot {new.signed.version} has lost {name}", hint=HINT)
            _not_older(name.removesuffix(".json"), old.version, listed.version)
    return replace(t, snapshot=new.signed, roles={})


def with_role(t: Trusted, raw: bytes, role: str, delegator: str) -> Trusted:
    """With the targets metadata of `role` as `delegator` sees it: its keys, and the snapshot's version of it."""
    meta = role_meta(t, role)
    _matches(meta, raw, role)
    new = _parsed(raw, Targets, role)
    _signed_by(_delegator(t, delegator), role, new, new.signed)
    if new.signed.version != meta.version:
        raise Refused(f"the snapshot names {role} {meta.version}, this is {new.signed.version}", hint=HINT)
    _fresh(new.signed, role, t.now)
    return replace(t, roles={**t.roles, (delegator, role): new.signed})


def fresh_timestamp(t: Trusted) -> Timestamp:
    if t.timestamp is None:
        raise AssertionError("the timestamp comes first")
    _fresh(t.timestamp, "timestamp", t.now)
    return t.timestamp


def fresh_snapshot(t: Trusted) -> Snapshot:
    """The snapshot, when it is the one the timestamp names and its time is not over."""
    timestamp = fresh_timestamp(t)
    if t.snapshot is None:
        raise AssertionError("the snapshot comes first")
    if t.snapshot.version != timestamp.snapshot_meta.version:
        raise Refused(f"snapshot {t.snapshot.version} is not the one the timestamp names", hint=HINT)
    _fresh(t.snapshot, "snapshot", t.now)
    return t.snapshot


def role_meta(t: Trusted, role: str) -> MetaFile:
    """What the snapshot says of the role's metadata. Raises Refused when it says nothing."""
    meta = fresh_snapshot(t).meta.get(f"{role}.json")
    if meta is None:
        raise Refused(f"the snapshot does not name {role}", hint=HINT)
    return meta


def children(t: Trusted, edge: Edge, path: str) -> tuple[list[str], bool]:
    """The roles that a trusted role delegates the target `path` to, in order; and whether the search ends with them."""
    delegations = t.roles[edge].delegations
    paths: list[str] = []
    for name, terminating in delegations.get_roles_for_target(path) if delegations is not None else ():
        paths.append(name)
        if terminating:
            return paths, True
    return paths, False


def target_bytes(info: TargetFile, raw: bytes) -> bytes:
    """The bytes, when they are the target's. Raises Refused."""
    try:
        info.verify_length_and_hashes(raw)
    except LengthOrHashMismatchError as e:
        raise Refused(f"{info.path} is not what was signed ({e})", hint=HINT) from None
    return raw


def _delegator(t: Trusted, name: str) -> Root | Targets:
    if name == Root.type:
        return t.root
    delegator = next((targets for (_, role), targets in t.roles.items() if role == name), None)
    if delegator is None:
        raise AssertionError(f"{name} comes before what it delegates")
    return delegator


def _parsed(raw: bytes, kind: type[S], role: str) -> Metadata[S]:
    try:
        metadata = Metadata.from_bytes(raw)
    except (DeserializationError, RecursionError) as e:
        raise Refused(f"the metadata of {role} cannot be read ({e.__cause__ or e})", hint=HINT) from None
    if type(metadata.signed) is not kind:
        raise Refused(f"the metadata of {role} is of type {metadata.signed.type}", hint=HINT)
    if metadata.signed.version >= MAX_VERSION:
        raise Refused(f"the metadata of {role} has a version without measure", hint=HINT)
    return metadata


def _signed_by(delegator: Root | Targets, role: str, metadata: Metadata[S], signed: Signed) -> None:
    try:
        result = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except (ValueError, TypeError, AttributeError, RepositoryError, SerializationError, CannotSay) as e:
        raise Refused(f"the signatures of {role} {signed.version} cannot be checked ({e})", hint=HINT) from None
    keys = {(key.keytype, str(sorted(key.keyval.items()))) for key in result.signed.values()}
    if len(keys) < result.threshold:
        raise Refused(
            f"{role} {signed.version} is signed by {len(keys)} of the {result.threshold} keys it needs", hint=HINT
        )


def _fresh(signed: Signed, role: str, now: datetime) -> None:
    if signed.is_expired(now):
        raise Expired(
            f"{role} {signed.version} is good until {signed.expires:%Y-%m-%d %H:%M} UTC, now is {now:%Y-%m-%d %H:%M}",
            hint=CLOCK_HINT,
        )


def _not_older(role: str, known: int, served: int) -> None:
    if served < known:
        raise Refused(f"the server sent {role} {served}, and {known} is known already: a rollback", hint=HINT)


def _matches(meta: MetaFile, raw: bytes, role: str) -> None:
    try:
        meta.verify_length_and_hashes(raw)
    except LengthOrHashMismatchError as e:
        raise Refused(f"the metadata of {role} is not the one that was signed for ({e})", hint=HINT) from None
