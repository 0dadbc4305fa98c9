"""How the tests of a simulation write roots: a path and what is at it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from orlop.simulate.snapshot import Entry, Kind


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, Kind.FOLDER, mode, 0, 0)


def file(path: str, text: str = "", mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    raw = text.encode("utf-8", "surrogateescape")
    return Entry(path, Kind.FILE, mode, uid, gid, len(raw), digest=hashlib.sha256(raw).hexdigest(), data=raw)


def link(path: str, target: str) -> Entry:
    return replace(folder(path, 0o777), kind=Kind.LINK, target=target)


def root(*entries: Entry) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries}
