"""What nothing refers to any more: old metadata, indexes and blobs.

Invariant: what a machine may still ask for stays: every root, what the current snapshot leads to, and what the one
before it did, for machines in the middle of a check or a download and for caches between them and the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from tuf.api.metadata import Metadata, Snapshot, Targets
from tuf.api.serialization import DeserializationError

from orlop.errors import BadInput
from orlop.model.release import channel as documents
from orlop.model.release.index import decode
from orlop.publish.repository.repository import RepositoryState, target_file
from orlop.publish.storage.storage import Storage

S = TypeVar("S", Snapshot, Targets)
KEPT_SNAPSHOTS = 2
_VERSIONED = re.compile(r"metadata/(\d+)\.(.+)\.json")


@dataclass(frozen=True)
class Garbage:
    path: str
    bytes: int


def garbage(storage: Storage, state: RepositoryState) -> list[Garbage]:
    """Every file that can go. Raises BadInput when what is current cannot be read: then nothing can be told."""
    needed = {"metadata/timestamp.json"}
    for version in range(max(1, state.snapshot.version - KEPT_SNAPSHOTS + 1), state.snapshot.version + 1):
        needed |= _needed(storage, version, {"targets", *state.channels}, must=version == state.snapshot.version)
    unused = []
    for folder in ("metadata", "targets", "blobs"):
        for path in storage.names(folder):
            root = (match := _VERSIONED.fullmatch(path)) and match[2] == "root"
            if path not in needed and not root:
                unused.append(Garbage(path, storage.size(path) or 0))
    return sorted(unused, key=lambda g: g.path)


def collect(storage: Storage, unused: list[Garbage]) -> None:
    """Remove it, what refers before what is referred to."""
    for item in sorted(unused, key=lambda g: ("metadata", "targets", "blobs").index(g.path.partition("/")[0])):
        storage.remove(item.path)


def _needed(storage: Storage, version: int, roles: set[str], *, must: bool) -> set[str]:
    """The files that a snapshot leads to. It still names channels that are gone: nothing leads to those."""
    path = f"metadata/{version}.snapshot.json"
    snapshot = _read(storage, path, Snapshot)
    if snapshot is None:
        if must:
            raise BadInput(f"{path} cannot be read: what it refers to is not known", hint="orlop release verify")
        return set()
    needed = {path}
    for name, meta in snapshot.meta.items():
        if name.removesuffix(".json") not in roles:
            continue
        role_path = f"metadata/{meta.version}.{name}"
        role = _read(storage, role_path, Targets)
        if role is None:
            if must:
                raise BadInput(
                    f"{role_path} cannot be read: what it refers to is not known", hint="orlop release verify"
                )
            continue
        needed |= {role_path, *_of_role(storage, role, must=must)}
    return needed


def _of_role(storage: Storage, role: Targets, *, must: bool) -> Iterator[str]:
    for info in role.targets.values():
        path = target_file(info)
        yield path
        raw = storage.read(path)
        if raw is None:
            if must:
                raise BadInput(f"{path} is missing: what it refers to is not known", hint="orlop release verify")
            continue
        channel, _, name = info.path.partition("/")
        if info.path == documents.target_name(channel):
            yield from (f"blobs/{entry.sbom}" for entry in documents.decode(raw, channel).entries)
        elif name.endswith(".index.json"):
            index = decode(raw)
            yield from (part.blob.path for part in (index.usr, index.verity, index.uki))
            yield from (patch.blob.path for patch in index.patches)


def _read(storage: Storage, path: str, kind: type[S]) -> S | None:
    raw = storage.read(path)
    try:
        signed: object = Metadata.from_bytes(raw).signed if raw is not None else None
    except DeserializationError:
        return None
    return signed if isinstance(signed, kind) else None
