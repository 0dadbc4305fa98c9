"""One check of a repository: the order of the steps, what is asked of the server, and what is kept.

The clock is read by the caller, once. Server and cache are two small interfaces, so that the same steps run against a
web server, a folder and the tests' simulator.

Invariants:
- What is verified is kept at once, in the order of the specification, so a check that breaks off has not been in vain.
- A root, once trusted, is not unlearnt: not by a cache that lost part of it, nor by an image with older root keys.
- When nothing changed a check is one request, of the timestamp alone. A repository that changes anything, its root
  included, makes a new timestamp last; who can withhold that can withhold any other file too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from tuf.api.metadata import TargetFile

from orlop.trust import verify
from orlop.trust.errors import Expired, Refused, Unreachable
from orlop.trust.verify import Trusted

MAX_TARGET = 48 << 20  # bytes of a target: the largest is an image's index


class Fetch(Protocol):
    def __call__(self, path: str, most: int) -> bytes | None:
        """The file, or None when the server has it not. Raises Unreachable, or Refused when it has more bytes."""
        ...


class Cache(Protocol):
    """Small files by name. A name may hold any character; `/` makes folders."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all."""
        ...


def refresh(given: bytes, cache: Cache, fetch: Fetch, now: datetime, timestamp: bytes | None = None) -> Trusted:
    """Bring everything up to the targets role up to date. `given` is the root in the image, `fetch` gives metadata.

    `timestamp` is the server's, where the caller has just fetched it. Raises Refused, Expired, Unreachable.
    """
    t = _roots(verify.start(given, now), cache, fetch)
    t = _timestamp(t, cache, fetch, timestamp)
    t = _snapshot(t, cache, fetch)
    return role(t, "targets", "root", cache, fetch)


def from_cache(given: bytes, cache: Cache, now: datetime) -> Trusted:
    """What the cache alone proves at `now`. Raises Refused when that is not everything up to the targets role."""
    return refresh(given, cache, _nothing, now, cache.read("timestamp.json") or b"")


def _nothing(path: str, most: int) -> bytes | None:  # noqa: ARG001
    return None


def _roots(t: Trusted, cache: Cache, fetch: Fetch) -> Trusted:
    known = _known_root(cache, t.now)
    kept = t.root.version
    for version in range(t.root.version + 1, t.root.version + 1 + verify.MAX_ROTATIONS):
        name = f"roots/{version}.json"
        found = _try(lambda raw: verify.next_root(t, raw), cache.read(name))  # noqa: B023
        if found is None:
            raw = fetch(f"{version}.root.json", verify.MAX_ROOT)
            if raw is None:
                break
            found = verify.next_root(t, raw)
            cache.write(name, raw)
            cache.write("root.json", raw)
        t, kept = found, version
    if kept < known:
        raise Refused(
            f"root {known} is known already, and the server has none after {kept}: a rollback", hint=verify.HINT
        )
    return t


def _known_root(cache: Cache, now: datetime) -> int:
    """The version of the newest root that was ever trusted here; 0 when none is kept."""
    raw = cache.read("root.json")
    try:
        return 0 if raw is None else verify.start(raw, now).root.version
    except Refused:
        return 0


def _timestamp(t: Trusted, cache: Cache, fetch: Fetch, raw: bytes | None) -> Trusted:
    known = _try(lambda old: verify.with_timestamp(t, old), cache.read("timestamp.json")) or t
    if raw is None:
        raw = fetch("timestamp.json", verify.MAX_TIMESTAMP)
    if raw is None:
        raise _gone("timestamp.json")
    found = verify.with_timestamp(known, raw)
    verify.fresh_timestamp(found)
    if found is not known:
        cache.write("timestamp.json", raw)
    return found


def _snapshot(t: Trusted, cache: Cache, fetch: Fetch) -> Trusted:
    known = _try(lambda old: verify.with_snapshot(t, old, cached=True), cache.read("snapshot.json")) or t
    if known.snapshot is not None and _fresh_snapshot(known):
        return known
    meta = verify.fresh_timestamp(t).snapshot_meta
    raw = fetch(_versioned(t, "snapshot", meta.version), meta.length or verify.MAX_SNAPSHOT)
    if raw is None:
        raise _gone("snapshot.json")
    found = verify.with_snapshot(known, raw)
    verify.fresh_snapshot(found)
    cache.write("snapshot.json", raw)
    return found


def _fresh_snapshot(t: Trusted) -> bool:
    try:
        verify.fresh_snapshot(t)
    except Refused:
        return False
    return True


def role(t: Trusted, name: str, delegator: str, cache: Cache, fetch: Fetch) -> Trusted:
    """Load a role's targets metadata, for this delegator, from the cache or the server."""
    if (delegator, name) in t.roles:
        return t
    meta = verify.role_meta(t, name)
    kept = f"{quote(name, safe='')}.json"
    known = _try(lambda old: verify.with_role(t, old, name, delegator), cache.read(kept))
    if known is not None:
        return known
    raw = fetch(_versioned(t, quote(name, safe=""), meta.version), meta.length or verify.MAX_TARGETS)
    if raw is None:
        raise _gone(f"{name}.json")
    found = verify.with_role(t, raw, name, delegator)
    cache.write(kept, raw)
    return found


def find(t: Trusted, path: str, cache: Cache, fetch: Fetch) -> tuple[Trusted, TargetFile | None]:
    """Look a target up in the order of its delegations; None when no role that may speak for it names it."""
    todo = [("root", "targets")]
    seen: set[str] = set()
    while todo and len(seen) < verify.MAX_ROLES:
        edge = todo.pop()
        delegator, name = edge
        if name in seen:
            continue
        t = role(t, name, delegator, cache, fetch)
        if (info := t.roles[edge].targets.get(path)) is not None:
            return t, info
        seen.add(name)
        names, last = verify.children(t, edge, path)
        if last:
            todo = []
        todo += [(name, child) for child in reversed(names)]
    return t, None


def target(t: Trusted, info: TargetFile, fetch: Fetch) -> bytes:
    """The verified bytes of a target, from a `fetch` that gives targets. Raises Refused, Unreachable."""
    if info.length > MAX_TARGET:
        raise Refused(f"{info.path} has {info.length} bytes, at most {MAX_TARGET} are read", hint=verify.HINT)
    raw = fetch(target_path(t, info), info.length)
    if raw is None:
        raise _gone(info.path)
    return verify.target_bytes(info, raw)


def target_path(t: Trusted, info: TargetFile) -> str:
    """Where the repository has the target: its hash is in the file's name, where snapshots are consistent."""
    folder, slash, name = info.path.rpartition("/")
    prefix = f"{next(iter(info.hashes.values()))}." if t.root.consistent_snapshot else ""
    return quote(f"{folder}{slash}{prefix}{name}")


def _versioned(t: Trusted, name: str, version: int) -> str:
    return f"{version}.{name}.json" if t.root.consistent_snapshot else f"{name}.json"


def _try(load: Callable[[bytes], Trusted], raw: bytes | None) -> Trusted | None:
    """What the cached bytes prove, if anything: a damaged cache is as good as none."""
    if raw is None:
        return None
    try:
        return load(raw)
    except Expired:
        raise
    except Refused:
        return None


def _gone(name: str) -> Unreachable:
    return Unreachable(f"the repository has no {name}", hint="check its address; a repository always has this file")
