"""A repository's signed state: loaded as a machine would verify it, changed in one step.

What is signed on top of must be what was signed before, so loading goes through `orlop.trust`, with a memory of the
publisher's own beside the keys: a server that was rolled back or tampered with is refused before anything is signed.
Only expiry is not asked for: renewing what has expired must be possible.

A change is a `Change`, committed in an order in which every moment is a whole repository: blobs and indexes, then the
metadata that names them, and the one file that is ever replaced, `timestamp.json`, last. Before the first byte is
written the result is checked in memory with the machine's own code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Metadata, MetaFile, Role, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from orlop.errors import BadInput, Missing
from orlop.model.release import channel as documents
from orlop.model.release.channel import Channel
from orlop.publish.keys.keys import Keyring
from orlop.publish.storage.storage import Storage
from orlop.trust import client, releases, verify
from orlop.trust.cache import MemoryCache
from orlop.trust.client import Cache
from orlop.trust.errors import Refused

NEVER_EXPIRED = datetime(2000, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LIFETIMES = {"root": 365 * DAY, "targets": 365 * DAY, "snapshot": 14 * DAY, "timestamp": 7 * DAY}
CHANNEL_LIFETIME = 90 * DAY
TOP = ("root", "targets", "snapshot", "timestamp")
RUNAWAY = verify.MAX_VERSION // 2  # no publisher counts so far: a number from there on was signed by somebody else


@dataclass(frozen=True)
class RepositoryState:
    """What the repository says now. `channels` are the delegated roles, `documents` what they sign."""

    root: Root
    timestamp: Timestamp
    snapshot: Snapshot
    targets: Targets
    channels: Mapping[str, Targets]
    documents: Mapping[str, Channel]

    def signed(self, role: str) -> Signed:
        top: dict[str, Signed] = {
            "root": self.root, "timestamp": self.timestamp, "snapshot": self.snapshot, "targets": self.targets,
        }  # fmt: skip
        return top.get(role) or self.channels[role]

    def document(self, name: str) -> Channel:
        if name not in self.documents:
            have = ", ".join(self.documents) or "none"
            raise Missing(f"the repository has no channel {name}", hint=f"it has: {have}")
        return self.documents[name]

    def keyids(self, role: str, root: Root | None = None) -> list[str]:
        """The keys that speak for a role."""
        return list(self._delegated(role, root).keyids)

    def threshold(self, role: str) -> int:
        """How many of these keys must sign."""
        return int(self._delegated(role).threshold)

    def _delegated(self, role: str, root: Root | None = None) -> Role:
        delegator: Root | Targets = (root or self.root) if role in TOP else self.targets
        return delegator.get_delegated_role(role)


@dataclass(frozen=True)
class Upload:
    """A blob that comes from a file, with the hash it must have."""

    source: Path
    sha256: str


@dataclass(frozen=True)
class Change:
    """What is to be different. `indexes` and `drop` are targets by channel; `targets` replaces the targets role;
    `renew` are roles to sign anew as they are.
    """

    blobs: Mapping[str, Upload | bytes] = field(default_factory=dict)
    indexes: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    documents: Mapping[str, Channel] = field(default_factory=dict)
    drop: Mapping[str, Sequence[str]] = field(default_factory=dict)
    targets: Targets | None = None
    renew: Sequence[str] = ()


class Repository:
    """`given` is the first root, as the publisher keeps it; `memory` what was seen of the repository before."""

    def __init__(self, storage: Storage, keyring: Keyring, given: bytes, memory: Cache) -> None:
        self.storage, self.keyring, self.given, self.memory = storage, keyring, given, memory

    def load(self) -> RepositoryState:
        """The signed state. Raises Refused or Unreachable when it is not one that a machine would believe."""
        try:
            return load(self.storage, self.given, self.memory)
        except Refused as e:
            raise Refused(
                f"the repository is not as it was left: {e.message}",
                hint="nothing was signed on top of it; who restored it from a copy removes the memory beside its keys",
            ) from None

    def commit(self, state: RepositoryState, change: Change, now: datetime) -> RepositoryState:
        """Sign and write the change. Raises Missing when a key is not here; then nothing was written."""
        files, after = self.prepare(state, change, now)
        for path, blob in change.blobs.items():
            put_blob(self.storage, path, blob)
        self.write(files.items())
        return after

    def due(self, state: RepositoryState, now: datetime) -> tuple[list[str], list[str]]:
        """The roles in the last third of their time: those that can be signed here; and those that cannot, with why.

        Snapshot and timestamp are signed by every change. One role that cannot be signed must not keep them, and the
        others, from being renewed.
        """
        able: list[str] = []
        cannot: list[str] = []
        for role in ("targets", *state.channels):
            if state.signed(role).expires - now < LIFETIMES.get(role, CHANNEL_LIFETIME) / 3:
                have, wanted = len(self.keyring.able(state.keyids(role))), state.threshold(role)
                if have >= wanted:
                    able.append(role)
                else:
                    cannot.append(f"{role} ({have} of the {wanted} keys it needs are here)")
        return able, cannot

    def prepare(
        self, state: RepositoryState, change: Change, now: datetime
    ) -> tuple[dict[str, bytes], RepositoryState]:
        """The files of the change in the order they must be written, checked as a machine will check them."""
        now = now.replace(microsecond=0)
        files: dict[str, bytes] = {}
        channels = dict(state.channels)
        touched = {*change.documents, *change.indexes, *change.drop, *(r for r in change.renew if r not in TOP)}
        for name in sorted(touched):
            channels[name] = role = deepcopy(channels.get(name) or _first_of(name, state.snapshot))
            for path in change.drop.get(name, ()):
                role.targets.pop(path, None)
            contents = dict(change.indexes.get(name, {}))
            if name in change.documents:
                contents[documents.target_name(name)] = documents.encode(change.documents[name])
            for path, data in contents.items():
                role.targets[path] = TargetFile.from_data(path, data, ["sha256"])
                files[target_file(role.targets[path])] = data
        after = replace(
            state,
            channels=channels,
            targets=deepcopy(change.targets or state.targets),
            documents={**state.documents, **change.documents},
        )
        if change.targets is not None or "targets" in change.renew:
            files |= self.sign(after, "targets", now)
        for name in sorted(touched):
            files |= self.sign(after, name, now)
        return self.seal(after, files, now)

    def seal(
        self,
        state: RepositoryState,
        files: dict[str, bytes],
        now: datetime,
        *,
        also: Root | None = None,
        over: Mapping[str, bytes] | None = None,
    ) -> tuple[dict[str, bytes], RepositoryState]:
        """Add a snapshot and a timestamp of the state to its files.

        `also`: another root, whose keys sign them too. `over`: files that will be there as well.
        """
        sealed = replace(state, snapshot=deepcopy(state.snapshot), timestamp=deepcopy(state.timestamp))
        for name in ("targets", *sealed.channels):
            sealed.snapshot.meta[f"{name}.json"] = MetaFile(sealed.signed(name).version)
        files = files | self.sign(sealed, "snapshot", now, also)
        sealed.timestamp.snapshot_meta = MetaFile(sealed.snapshot.version)
        files |= self.sign(sealed, "timestamp", now, also)
        check(self.storage, {**(over or {}), **files}, self.given, now, sealed)
        return files, sealed

    def sign(self, state: RepositoryState, role: str, now: datetime, also: Root | None = None) -> dict[str, bytes]:
        """The next version of a role, signed by every key of its that can sign here. Raises Missing."""
        signed = state.signed(role)
        if signed.version >= RUNAWAY:
            raise runaway(role, signed.version)
        signed.version += 1
        signed.expires = now.replace(microsecond=0) + LIFETIMES.get(role, CHANNEL_LIFETIME)
        ids, wanted = state.keyids(role), state.threshold(role)
        able = self.keyring.able(ids)
        if len(able) < wanted:
            raise no_key(role, len(able), wanted, ids)
        if also is not None:
            able += self.keyring.able([i for i in also.get_delegated_role(role).keyids if i not in ids])
        metadata: Metadata[Signed] = Metadata(signed)  # type: ignore[type-var]
        for key in able:
            metadata.sign(self.keyring.signer(key), append=True)
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        return {f"metadata/{name}": metadata.to_bytes(JSONSerializer(compact=True))}

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        """In the order that was prepared: targets, roles, snapshot, timestamp. A path may come twice."""
        for path, data in files:
            if not (path.startswith("targets/") and self.storage.size(path) == len(data)):
                self.storage.write(path, data)
            if path.endswith(".snapshot.json"):
                self.memory.write("own/snapshot.json", data)
            if path == "metadata/timestamp.json":
                self.memory.write("own/timestamp.json", data)
        load(self.storage, self.given, self.memory)  # and remember it

    def left(self, hidden: str = "") -> RepositoryState | None:
        """The state as this publisher signed it last, whatever the server calls current; None when that is not known.

        For a thief of keys has signed what nobody can go on from. Raises Refused or Unreachable when it is not there.
        """
        timestamp, snapshot = (self.memory.read(f"own/{role}.json") for role in ("timestamp", "snapshot"))
        if timestamp is None or snapshot is None:
            return None
        try:
            version = Metadata[Snapshot].from_bytes(snapshot).signed.version
        except DeserializationError:
            return None
        own = {"metadata/timestamp.json": timestamp, f"metadata/{version}.snapshot.json": snapshot}
        return load(self.storage, self.given, MemoryCache(), hidden, own)


def load(
    storage: Storage, given: bytes, memory: Cache, hidden: str = "", over: Mapping[str, bytes] | None = None
) -> RepositoryState:
    """The signed state, verified. `hidden`: a file that is taken as not there; `over`: files laid on what is there."""
    fetch = StorageFetch(storage, over or {}, hidden)
    metadata, targets = releases.Under(fetch, releases.METADATA), releases.Under(fetch, releases.TARGETS)
    t = client.refresh(given, memory, metadata, NEVER_EXPIRED)
    top = t.roles["root", "targets"]
    channels: dict[str, Targets] = {}
    by_name: dict[str, Channel] = {}
    for name in (top.delegations.roles or {}) if top.delegations is not None else {}:
        t = client.role(t, name, "targets", memory, metadata)
        channels[name] = t.roles["targets", name]
        if (info := channels[name].targets.get(documents.target_name(name))) is not None:
            by_name[name] = documents.decode(client.target(t, info, targets), name)
    assert t.timestamp is not None
    assert t.snapshot is not None
    return RepositoryState(t.root, t.timestamp, t.snapshot, top, channels, by_name)


def check(storage: Storage, files: Mapping[str, bytes], given: bytes, now: datetime, state: RepositoryState) -> None:
    """Raise unless a machine that has nothing but the first root would believe the files over what is stored.

    A channel whose time is over already is not asked for: the others must be able to go on.
    """
    fetch = StorageFetch(storage, files)
    memory = MemoryCache()
    for name, document in state.documents.items():
        if not state.channels[name].is_expired(now):
            verified = releases.check(given, memory, fetch, name, now)
            assert verified.channel == document


def put_blob(storage: Storage, path: str, blob: Upload | bytes) -> None:
    """Store a blob, unless one of that name and size is there: its name is its hash."""
    size = len(blob) if isinstance(blob, bytes) else blob.source.stat().st_size
    if storage.size(path) != size:
        store_blob(storage, path, blob)


def store_blob(storage: Storage, path: str, blob: Upload | bytes) -> None:
    if isinstance(blob, bytes):
        storage.write(path, blob)
    else:
        storage.upload(path, blob.source, blob.sha256)


def target_file(info: TargetFile) -> str:
    """Where the file of a target is stored."""
    folder, slash, name = info.path.rpartition("/")
    return f"{releases.TARGETS}{folder}{slash}{info.hashes['sha256']}.{name}"


def unsigned_targets() -> Targets:
    """A role that has never been signed: signing makes it version 1."""
    role = Targets()
    role.version = 0
    return role


def _first_of(name: str, snapshot: Snapshot) -> Targets:
    """A channel's role before it is signed. Was there one of that name before, it goes on from its number."""
    role = unsigned_targets()
    if (known := snapshot.meta.get(f"{name}.json")) is not None:
        role.version = known.version
    return role


def runaway(role: str, version: int) -> Refused:
    return Refused(
        f"{role} has the number {version}: somebody else signs with its keys",
        hint="new keys let machines forget the number: orlop release rotate-keys timestamp, or snapshot timestamp "
        "when it is not timestamp's alone; nothing was changed",
    )


def no_key(role: str, have: int, wanted: int, keyids: Sequence[str]) -> Missing:
    ids = ", ".join(keyid[:8] for keyid in keyids)
    return Missing(
        f"{role} is signed by {wanted} of the keys {ids}, and {have} of them can sign here",
        hint="name the folder that has them with --keys; nothing was changed",
    )


@dataclass(frozen=True)
class StorageFetch:
    """A storage as a machine sees it over the network, with `over` laid on it."""

    storage: Storage
    over: Mapping[str, bytes] = field(default_factory=dict)
    hidden: str = ""

    def __call__(self, path: str, most: int) -> bytes | None:
        if path == self.hidden:
            return None
        raw = self.over[path] if path in self.over else self.storage.read(path)
        if raw is not None and len(raw) > most:
            raise Refused(f"{path} is longer than the {most} bytes it may have")
        return raw


def must_be_new(storage: Storage) -> None:
    """Raise BadInput when there is a repository already."""
    if storage.read("metadata/timestamp.json") is not None:
        raise BadInput("there is a repository already", hint="choose another folder: nothing was changed")
