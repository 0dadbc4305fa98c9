"""An outsider's full check: everything a repository promises, asked for over the network as machines ask for it.

It has no keys and believes nothing: it starts from the first root, and from nothing else. Metadata and documents are
verified by the machine's own code; then every index, every blob's size, and, when asked, every byte of every blob.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from orlop.errors import BadInput, OrlopError
from orlop.model.channel import Channel, Entry
from orlop.model.index import BLOCK, Index, Part, decode
from orlop.trust import client, releases
from orlop.trust.cache import MemoryCache
from orlop.trust.client import Fetch
from orlop.trust.errors import Refused
from orlop.trust.verify import Trusted

SOON = timedelta(days=3)


@dataclass(frozen=True)
class Finding:
    """`good` is False for what machines would refuse or miss; `soon` marks what will be so."""

    what: str
    good: bool = True
    soon: bool = False


def audit(fetch: Fetch, given: bytes, now: datetime, *, bytes_too: bool = False) -> Iterator[Finding]:
    """Every finding, good ones too, as they come. Ends early only where nothing more can be trusted."""
    cache = MemoryCache()
    metadata = releases.Under(fetch, releases.METADATA)
    try:
        t = client.refresh(given, cache, metadata, now)
    except OrlopError as e:
        yield Finding(e.message, good=False)
        return
    yield from _times(t, now)
    top = t.roles["root", "targets"]
    names = list(top.delegations.roles or {}) if top.delegations is not None else []
    seen: set[str] = set()
    for name in names:
        try:
            found = releases.check(given, cache, fetch, name, now)
        except OrlopError as e:
            yield Finding(f"channel {name}: {e.message}", good=False)
            continue
        versions = ", ".join(str(e.version) for e in found.channel.entries) or "no version"
        yield Finding(f"channel {name}: {versions}")
        for entry in found.channel.entries:
            yield from _entry(fetch, cache, found.trusted, found.channel, entry, seen, bytes_too=bytes_too)


def _times(t: Trusted, now: datetime) -> Iterator[Finding]:
    assert t.timestamp is not None
    assert t.snapshot is not None
    for role in (t.root, t.timestamp, t.snapshot, t.roles["root", "targets"]):
        left = role.expires - now
        text = f"{role.type} {role.version} is signed and good until {role.expires:%Y-%m-%d %H:%M} UTC"
        yield Finding(text, soon=left < SOON)


def _entry(
    fetch: Fetch, cache: MemoryCache, t: Trusted, channel: Channel, entry: Entry, seen: set[str], *, bytes_too: bool
) -> Iterator[Finding]:
    where = f"{channel.name} {entry.version}"
    for image in entry.images:
        try:
            t, info = client.find(t, image.index, cache, releases.Under(fetch, releases.METADATA))
            if info is None:
                raise BadInput(f"{image.index} is not signed")
            index = decode(client.target(t, info, releases.Under(fetch, releases.TARGETS)))
            if index.version != entry.version or index.payload_bytes != image.bytes:
                raise BadInput(f"{image.index} is not the index of {entry.version} with {image.bytes} bytes")
            yield from _blobs(fetch, index, where, seen, bytes_too=bytes_too)
        except OrlopError as e:
            yield Finding(f"{where}: {e.message}", good=False)
    raw = fetch(f"blobs/{entry.sbom}", 16 << 20)
    good = raw is not None and hashlib.sha256(raw).hexdigest() == entry.sbom
    yield Finding(f"{where}: the SBOM is {'there' if good else 'missing or damaged'}", good=good)


def _blobs(fetch: Fetch, index: Index, where: str, seen: set[str], *, bytes_too: bool) -> Iterator[Finding]:
    parts: list[Part] = [index.usr, index.verity, index.uki]
    blobs = [part.blob for part in parts] + [patch.blob for patch in index.patches]
    for blob in blobs:
        if blob.sha256 in seen:
            continue
        seen.add(blob.sha256)
        most = blob.size if bytes_too else BLOCK
        raw = _begin(fetch, blob.path, most)
        if raw is None:
            yield Finding(f"{where}: {blob.path} is missing", good=False)
        elif bytes_too and hashlib.sha256(raw).hexdigest() != blob.sha256:
            yield Finding(f"{where}: {blob.path} is damaged", good=False)
    yield Finding(f"{where}: {len(parts)} parts of {index.payload_bytes} bytes, {len(index.patches)} patches")


def _begin(fetch: Fetch, path: str, most: int) -> bytes | None:
    """The first bytes of a blob, or b"" when it is longer than those: it is there."""
    try:
        return fetch(path, most)
    except Refused:
        return b""
