"""What a machine asks a release repository: its channel's document, and the index of an image.

A repository is a folder with `metadata/`, `targets/` and `blobs/`, as any web server can hold it. Lifetime: one `check`
a poll; when nothing changed it is one request, and all else comes from the cache. Invariant: a document or an index
that is returned here was signed for this channel, is whole, and is not older than what was seen before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from tuf.api.metadata import TargetFile

from orlop.errors import BadInput
from orlop.model.release import channel as documents
from orlop.model.release.channel import Channel
from orlop.model.release.index import Index, decode
from orlop.model.release.policy import Go
from orlop.net.errors import Unreachable
from orlop.trust import client, verify
from orlop.trust.client import Cache, MetadataFetch
from orlop.trust.errors import Refused
from orlop.trust.verify import Trusted

METADATA = "metadata/"
TARGETS = "targets/"
INDEXES = "indexes"  # the folder of the cache that holds images' indexes; who owns the cache removes old ones


@dataclass(frozen=True)
class Verified:
    """`changed` is False when the repository is as it was at the last check."""

    channel: Channel
    trusted: Trusted
    changed: bool


@dataclass(frozen=True)
class Under:
    """The part of a repository below a folder."""

    fetch: MetadataFetch
    folder: str

    def __call__(self, path: str, most: int) -> bytes | None:
        return self.fetch(self.folder + path, most)


def check(given: bytes, cache: Cache, fetch: MetadataFetch, channel: str, now: datetime) -> Verified:
    """The channel's document as of now. `given` is the root in the image; `now` has a time zone.

    Raises Refused, Expired, NetError, or BadInput when a signed document breaks its own rules.
    """
    metadata, targets = Under(fetch, METADATA), Under(fetch, TARGETS)
    timestamp = metadata("timestamp.json", verify.MAX_TIMESTAMP)
    if timestamp is None:
        raise Unreachable("there is no repository: metadata/timestamp.json is not there", hint="check its address")
    if timestamp == cache.read("timestamp.json"):
        try:
            return known(given, cache, channel, now)
        except (Refused, Unreachable):
            pass  # incomplete, or its time is over: ask for all of it
    t = client.refresh(given, cache, metadata, now, timestamp)
    return _document(t, cache, metadata, targets, channel, changed=True)


def known(given: bytes, cache: Cache, channel: str, now: datetime) -> Verified:
    """The document from the cache alone, with no request. Raises Refused or Unreachable when that is not enough."""
    t = client.from_cache(given, cache, now)
    return _document(t, cache, _nothing, _nothing, channel, changed=False)


def index(verified: Verified, go: Go, cache: Cache, fetch: MetadataFetch) -> Index:
    """The index of the image that a machine goes to, kept in the cache. Raises Refused, NetError or BadInput."""
    metadata, targets = Under(fetch, METADATA), Under(fetch, TARGETS)
    t, info = client.find(verified.trusted, go.index, cache, metadata)
    if info is None:
        raise Refused(f"{go.index} is not signed by channel {verified.channel.name}", hint=verify.HINT)
    raw = _kept(info, kept_index(go.index, info.hashes.get("sha256", "")), t, cache, targets)
    decoded = decode(raw)
    if decoded.version != go.version:
        raise BadInput(f"{go.index} is the index of {decoded.version}", hint="tell the publisher of this repository")
    return decoded


def kept_index(name: str, sha256: str) -> str:
    """What the cache calls the index that is the target `name`: its hash is in the name, so it can be told alone."""
    return f"{INDEXES}/{quote(sha256, safe='')}.{quote(name, safe='')}"


def _document(
    t: Trusted, cache: Cache, metadata: MetadataFetch, targets: MetadataFetch, name: str, *, changed: bool
) -> Verified:
    path = documents.target_name(name)
    t, info = client.find(t, path, cache, metadata)
    if info is None:
        raise Refused(
            f"the repository has no channel {name}",
            hint=f"choose another one, or update this machine by hand: it reads {documents.SCHEMA}",
        )
    raw = _kept(info, f"targets/{path}", t, cache, targets)
    return Verified(documents.decode(raw, name), t, changed)


def _kept(info: TargetFile, name: str, t: Trusted, cache: Cache, targets: MetadataFetch) -> bytes:
    """The target's bytes: those that are kept, when they are still what is signed, or the server's."""
    try:
        return verify.target_bytes(info, cache.read(name) or b"")
    except Refused:
        raw = client.target(t, info, targets)
    cache.write(name, raw)
    return raw


def _nothing(path: str, most: int) -> bytes | None:  # noqa: ARG001
    return None
