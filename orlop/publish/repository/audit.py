"""An outsider's full check: everything a repository promises, asked for over the network as machines ask for it.

It has no keys and believes nothing: it starts from the first root, and from nothing else. Metadata and documents are
verified by the machine's own code; then every index, every blob's size (asked for, not downloaded), and, when wanted,
every byte of every blob.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.metadata import Signed

from orlop.errors import BadInput, OrlopError
from orlop.model.release.channel import Entry
from orlop.model.release.index import PARTS, Blob, decode
from orlop.net.errors import Unreachable
from orlop.publish.storage.blobs import Blobs
from orlop.trust import client, releases
from orlop.trust.cache import MemoryCache
from orlop.trust.client import MetadataFetch

SOON = timedelta(days=3)
MAX_SBOM = 16 << 20


@dataclass(frozen=True)
class AuditFinding:
    """`good` is False for what machines would refuse or miss; `soon` marks what will be so. `unreached`: nobody knows
    whether it is good, for whoever has it did not answer.
    """

    what: str
    good: bool = True
    soon: bool = False
    unreached: bool = False


def audit(
    fetch: MetadataFetch, blobs: Blobs, given: bytes, now: datetime, *, bytes_too: bool = False
) -> Iterator[AuditFinding]:
    """Every finding, good ones too, as they come. Ends early only where nothing more can be trusted.

    `fetch` gives the small files; `blobs` says of the large ones how long they are and, with `bytes_too`, their hashes.
    """
    cache = MemoryCache()
    try:
        t = client.refresh(given, cache, releases.Under(fetch, releases.METADATA), now)
    except OrlopError as e:
        yield AuditFinding(e.message, good=False, unreached=isinstance(e, Unreachable))
        return
    assert t.timestamp is not None
    assert t.snapshot is not None
    top = t.roles["root", "targets"]
    for role in (t.root, t.timestamp, t.snapshot, top):
        yield _time(role.type, role, now)
    troubles = _Troubles(blobs, bytes_too=bytes_too)
    for name in (top.delegations.roles or {}) if top.delegations is not None else {}:
        try:
            verified = releases.check(given, cache, fetch, name, now)
        except OrlopError as e:
            yield AuditFinding(f"channel {name}: {e.message}", good=False)
            continue
        versions = ", ".join(str(e.version) for e in verified.channel.entries) or "no version"
        yield AuditFinding(f"channel {name}: {versions}")
        yield _time(name, verified.trusted.roles["targets", name], now)
        for entry in verified.channel.entries:
            yield from _entry(fetch, cache, verified, entry, troubles)


def _time(name: str, role: Signed, now: datetime) -> AuditFinding:
    text = f"{name} {role.version} is signed and good until {role.expires:%Y-%m-%d %H:%M} UTC"
    return AuditFinding(text, soon=role.expires - now < SOON)


def _entry(
    fetch: MetadataFetch, cache: MemoryCache, verified: releases.Verified, entry: Entry, troubles: _Troubles
) -> Iterator[AuditFinding]:
    t, where = verified.trusted, f"{verified.channel.name} {entry.version}"
    for image in entry.images:
        try:
            t, info = client.find(t, image.index, cache, releases.Under(fetch, releases.METADATA))
            if info is None:
                raise BadInput(f"{image.index} is not signed")
            index = decode(client.target(t, info, releases.Under(fetch, releases.TARGETS)))
            if index.version != entry.version or index.payload_bytes != image.bytes:
                raise BadInput(f"{image.index} is not the index of {entry.version} with {image.bytes} bytes")
        except OrlopError as e:
            yield AuditFinding(f"{where}: {e.message}", good=False)
            continue
        parts = [index.part(name).blob for name in PARTS]
        for trouble in troubles.new([*parts, *(patch.blob for patch in index.patches)]):
            yield AuditFinding(f"{where}: {trouble}", good=False)
        yield AuditFinding(f"{where}: {len(parts)} parts of {index.payload_bytes} bytes, {len(index.patches)} patches")
    trouble = _sbom_trouble(fetch, entry)
    yield AuditFinding(f"{where}: the SBOM is {trouble or 'there'}", good=not trouble)


def _sbom_trouble(fetch: MetadataFetch, entry: Entry) -> str:
    try:
        raw = fetch(f"blobs/{entry.sbom}", MAX_SBOM)
    except OrlopError as e:
        return f"not to be had: {e.message}"
    return "" if raw is not None and hashlib.sha256(raw).hexdigest() == entry.sbom else "missing or damaged"


class _Troubles:
    """What is wrong with blobs, each said once, however many images share it."""

    def __init__(self, blobs: Blobs, *, bytes_too: bool) -> None:
        self._blobs, self._bytes_too = blobs, bytes_too
        self._seen: set[str] = set()

    def new(self, blobs: Iterable[Blob]) -> Iterator[str]:
        for blob in blobs:
            if blob.sha256 not in self._seen:
                self._seen.add(blob.sha256)
                try:
                    trouble = self._of(blob)
                except OrlopError as e:
                    trouble = f"is not to be had: {e.message}"
                if trouble:
                    yield f"{blob.path} {trouble}"

    def _of(self, blob: Blob) -> str:
        size = self._blobs.size(blob.path)
        if size is None:
            return "is missing"
        if size != blob.size:
            return f"has {size} bytes, not {blob.size}"
        return "is damaged" if self._bytes_too and self._blobs.sha256(blob.path) != blob.sha256 else ""
