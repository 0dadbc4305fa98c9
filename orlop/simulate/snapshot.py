"""A root as values, from the tar archive of it. Paths are absolute and plain; the root itself is "/".

What is working material of the programs that make users (backups, locks) and of the run itself is not in it.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TypeAlias

KEPT_BYTES = 1 << 20  # of a file; of a larger one only its hash is kept

# Ignition's own report, which differs at every boot, and what useradd and its kin leave
WORKING = frozenset(
    ["/etc/.ignition-result.json", "/etc/.pwd.lock"]
    + [f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")]
)
STAND_IN = "/etc/selinux/config"  # see inside.sh
STAND_IN_TEXT = b"SELINUXTYPE=simulated\n"


class Kind(Enum):
    FILE = "file"
    FOLDER = "directory"
    LINK = "link"
    OTHER = "special file"


_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.SYMTYPE: Kind.LINK,
}


@dataclass(frozen=True)
class Entry:
    """`mode`: permission bits; `size`: bytes; `digest`: SHA-256 in hex, "" unless a file; `same`: of a hard link, the
    other path; `source`: of a file that would be fetched, the URLs, in which case its contents are not known.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int = 0
    target: str = ""
    digest: str = ""
    data: bytes | None = None
    source: tuple[str, ...] = ()
    same: str = ""

    @property
    def text(self) -> str | None:
        """The contents, if they are text."""
        if self.data is None or b"\0" in self.data:
            return None
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None


Snapshot: TypeAlias = Mapping[str, Entry]


def read(archive: Path) -> dict[str, Entry]:
    """Every entry of the archive by its path, in order."""
    found: dict[str, Entry] = {}
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            same = found.get(_absolute(member.linkname)) if member.type == tarfile.LNKTYPE else None
            entry = replace(same, path=_absolute(member.name), same=same.path) if same else _entry(tar, member)
            stand_in = entry.path == STAND_IN and entry.data == STAND_IN_TEXT
            if entry.path not in WORKING and not stand_in:
                found[entry.path] = entry
    return dict(sorted(found.items(), key=lambda item: item[0].split("/")))


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kind = _KINDS.get(member.type, Kind.OTHER)
    target, digest, data = "", "", None
    if kind is Kind.LINK:
        target = member.linkname
    elif kind is Kind.FILE:
        stream = tar.extractfile(member)
        assert stream is not None
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        if member.size <= KEPT_BYTES:
            stream.seek(0)
            data = stream.read()
    return Entry(
        _absolute(member.name), kind, member.mode & 0o7777, member.uid, member.gid, member.size, target, digest, data
    )


def _absolute(name: str) -> str:
    return "/" + name.removeprefix("./").strip("/") if name != "." else "/"


def file_text(snapshot: Snapshot, path: str) -> str:
    """The text at `path`; "" if there is none."""
    entry = snapshot.get(path)
    return (entry.text or "") if entry else ""
