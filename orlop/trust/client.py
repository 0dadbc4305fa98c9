"""One check of a repository: the order of the steps, what is asked of the server, and what is kept.

The clock is read by the caller, once. Server and cache are two small interfaces, so that the same steps run against a
web server, a folder and the tests' simulator.

Invariants:
- What is verified is kept at once, in the order of the specification, so a check that breaks off has not been in vain.
- A root, once trusted, is not unlearnt: not by a cache that lost part of it, nor by an image with older root keys. That
  is so in one chain of roots, where each is signed by keys of the one before. A machine that is given a root of another
  chain (another repository, or a new beginning after root keys were lost) follows that one from its first number on.
  Nothing is weaker for it: no server can bring it about, and whoever changes the given root, which is in the image or
  in the machine's configuration, has the machine anyway. A given root counts as the same chain when it was given
  before, or kept roots lead from it to the newest known one, or the older of the two has keys that signed the newer.
- When nothing changed a check is one request, of the timestamp alone. A repository that changes anything, its root
  included, makes a new timestamp last; who can withhold that can withhold any other file too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from tuf.api.metadata import TargetFile

from orlop.net.errors import Unreachable
from orlop.trust import verify
from orlop.trust.errors import Expired, Refused
from orlop.trust.verify import Trusted

NEWEST, GIVEN = "root.json", "roots/given.json"  # in the cache: the newest that was trusted, the last given one
MAX_TARGET = 48 << 20  # bytes of a target: the largest is an image's index


class MetadataFetch(Protocol):
    def __call__(self, path: str, most: int) -> bytes | None:
        """The file, or None when the server has it not. Raises NetError, or Refused when it has more bytes."""
        ...


class Cache(Protocol):
    """Small files by name. A name may hold any character; `/` makes folders."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all."""
        ...

    def forget(self, name: str) -> None: ...


def refresh(given: bytes, cache: Cache, fetch: MetadataFetch, now: datetime, timestamp: bytes | None = None) -> Trusted:
    """Bring everything up to the targets role up to date. `given` is the root in the image, `fetch` gives metadata.

    `timestamp` is the server's, where the caller has just fetched it. Raises Refused, Expired, NetError.
    """
    t = _roots(verify.start(given, now), given, cache, fetch)
    t = _timestamp(t, cache, fetch, timestamp)
    t = _snapshot(t, cache, fetch)
    return role(t, "targets", "root", cache, fetch)


def from_cache(given: bytes, cache: Cache, now: datetime) -> Trusted:
    """What the cache alone proves at `now`. Raises Refused when that is not everything up to the targets role."""
    return refresh(given, cache, _nothing, now, cache.read("timestamp.json") or b"")


def _nothing(path: str, most: int) -> bytes | None:  # noqa: ARG001
    return None


def _roots(t: Trusted, given: bytes, cache: Cache, fetch: MetadataFetch) -> Trusted:
    known = _known(t, given, cache)
    for version in range(t.root.version + 1, t.root.version + 1 + verify.MAX_ROTATIONS):
        name = f"roots/{version}.json"
        raw = cache.read(name)
        newer = _next_root(t, raw)
        if newer is None:
            raw = fetch(f"{version}.root.json", verify.MAX_ROOT)
            if raw is None:
                break
            newer = verify.next_root(t, raw)
            cache.write(name, raw)
        if raw is not None and version > known:
            cache.write(NEWEST, raw)
            known = version
        t = newer
    if t.root.version < known:
        raise Refused(
            f"root {known} is known already, and the server has none after {t.root.version}: a rollback",
            hint=verify.HINT,
        )
    return t


def _known(t: Trusted, given: bytes, cache: Cache) -> int:
    """The version of the newest root that was ever trusted in the given root's chain; begins another chain anew.

    What counts is written last: cut off anywhere, the next check comes to the same end.
    """
    raw = cache.read(NEWEST) or b""
    newest = _try(lambda old: verify.start(old, t.now), raw)
    moved = given != cache.read(GIVEN)
    if newest is not None and moved and not _one_chain(t, given, newest, raw, cache):
        for name in ("timestamp.json", "snapshot.json"):  # only what is signed for one time alone can be too new
            cache.forget(name)
        newest = None
    if newest is None or newest.root.version < t.root.version:
        cache.write(NEWEST, given)
        newest = t
    if moved:
        cache.write(GIVEN, given)
    return newest.root.version


def _one_chain(t: Trusted, given: bytes, newest: Trusted, raw: bytes, cache: Cache) -> bool:
    """Whether the given root leads to the newest known one, or that to it: by kept roots, or by its own signatures."""
    while t.root.version < newest.root.version:
        newer = _next_root(t, cache.read(f"roots/{t.root.version + 1}.json"))
        if newer is None:
            return verify.vouches(t.root, raw)
        t = newer
    return t.root == newest.root if t.root.version == newest.root.version else verify.vouches(newest.root, given)


def _next_root(t: Trusted, raw: bytes | None) -> Trusted | None:
    return _try(lambda kept: verify.next_root(t, kept), raw)


def _timestamp(t: Trusted, cache: Cache, fetch: MetadataFetch, raw: bytes | None) -> Trusted:
    known = _try(lambda old: verify.with_timestamp(t, old), cache.read("timestamp.json")) or t
    if raw is None:
        raw = fetch("timestamp.json", verify.MAX_TIMESTAMP)
    if raw is None:
        raise _gone("timestamp.json")
    newer = verify.with_timestamp(known, raw)
    verify.fresh_timestamp(newer)
    if newer is not known:
        cache.write("timestamp.json", raw)
    return newer


def _snapshot(t: Trusted, cache: Cache, fetch: MetadataFetch) -> Trusted:
    known = _try(lambda old: verify.with_snapshot(t, old, cached=True), cache.read("snapshot.json")) or t
    if known.snapshot is not None and _fresh_snapshot(known):
        return known
    meta = verify.fresh_timestamp(t).snapshot_meta
    raw = fetch(_versioned(t, "snapshot", meta.version), meta.length or verify.MAX_SNAPSHOT)
    if raw is None:
        raise _gone("snapshot.json")
    newer = verify.with_snapshot(known, raw)
    verify.fresh_snapshot(newer)
    cache.write("snapshot.json", raw)
    return newer


def _fresh_snapshot(t: Trusted) -> bool:
    try:
        verify.fresh_snapshot(t)
    except Refused:
        return False
    return True


def role(t: Trusted, name: str, delegator: str, cache: Cache, fetch: MetadataFetch) -> Trusted:
    """Load a role's targets metadata, for this delegator, from the cache or the server."""
    if (delegator, name) in t.roles:
        return t
    meta = verify.role_meta(t, name)
    file = f"{quote(name, safe='')}.json"
    known = _try(lambda old: verify.with_role(t, old, name, delegator), cache.read(file))
    if known is not None:
        return known
    raw = fetch(_versioned(t, quote(name, safe=""), meta.version), meta.length or verify.MAX_TARGETS)
    if raw is None:
        raise _gone(f"{name}.json")
    newer = verify.with_role(t, raw, name, delegator)
    cache.write(file, raw)
    return newer


def find(t: Trusted, path: str, cache: Cache, fetch: MetadataFetch) -> tuple[Trusted, TargetFile | None]:
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


def target(t: Trusted, info: TargetFile, fetch: MetadataFetch) -> bytes:
    """The verified bytes of a target, from a `fetch` that gives targets. Raises Refused, NetError."""
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
