"""How the tests of a simulation write roots: a path and what is at it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from orlop.simulate.snapshot import PathKind, RootEntry


def folder(path: str, mode: int = 0o755) -> RootEntry:
    return RootEntry(path, PathKind.FOLDER, mode, 0, 0)


def file(path: str, text: str = "", mode: int = 0o644, uid: int = 0, gid: int = 0) -> RootEntry:
    raw = text.encode("utf-8", "surrogateescape")
    return RootEntry(path, PathKind.FILE, mode, uid, gid, len(raw), digest=hashlib.sha256(raw).hexdigest(), data=raw)


def link(path: str, target: str) -> RootEntry:
    return replace(folder(path, 0o777), kind=PathKind.LINK, target=target)


def root(*entries: RootEntry) -> dict[str, RootEntry]:
    return {entry.path: entry for entry in entries}
