"""A layer: files, folders and links in, one tar out, the same bits on every host.

Why uncompressed: a compressor's output changes with its version, and the demo image is small. Invariant: entries
leave in the order of their paths, each folder before what it holds, with the time 0 and only the owner they were given.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

from orlop.errors import BadInput


@dataclass(frozen=True)
class LayerFile:
    """`path` is relative to the root, as `bin/busybox`."""

    path: str
    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class LayerFolder:
    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class LayerLink:
    """A symbolic link; `target` is written as it is."""

    path: str
    target: str


Entry = LayerFile | LayerFolder | LayerLink


def layer(entries: Iterable[Entry]) -> bytes:
    """The tar of `entries`. Folders that are implied but not given are root's, 0755.

    Raises BadInput for a path that is absolute, repeated, not in its shortest form, or inside something that is not
    a folder.
    """
    by_path = _complete(list(entries))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for path in sorted(by_path):
            header, data = _member(by_path[path])
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def _complete(entries: list[Entry]) -> dict[str, Entry]:
    """Every entry and every folder it is in, by path."""
    entries_there: dict[str, Entry] = {}
    for entry in entries:
        _check_path(entry.path)
        if entry.path in entries_there:
            raise BadInput(f"layer: {entry.path!r} is given twice", hint="give each path once")
        entries_there[entry.path] = entry
    for entry in entries:
        parent = entry.path
        while "/" in parent:
            parent = parent.rsplit("/", 1)[0]
            if not isinstance(entries_there.setdefault(parent, LayerFolder(parent)), LayerFolder):
                raise BadInput(f"layer: {entry.path!r} is inside {parent!r}, which is not a folder")
    return entries_there


def _check_path(path: str) -> None:
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadInput(f"layer: {path!r} is not a path below the root", hint="write it as `folder/name`")


def _member(entry: Entry) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(entry.path)
    header.mtime = 0
    data = b""
    match entry:
        case LayerFile():
            header.type, header.size, data = tarfile.REGTYPE, len(entry.data), entry.data
            header.mode, header.uid, header.gid = entry.mode, entry.uid, entry.gid
        case LayerFolder():
            header.type = tarfile.DIRTYPE
            header.mode, header.uid, header.gid = entry.mode, entry.uid, entry.gid
        case LayerLink():
            header.type, header.linkname, header.mode = tarfile.SYMTYPE, entry.target, 0o777
    return header, data
