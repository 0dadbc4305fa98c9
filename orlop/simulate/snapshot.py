"""A root as values, from the tar archive of it, or from a folder. Paths are absolute and plain; the root itself is "/".

What is working material of the programs that make users (backups, locks) and of the run itself is not in it.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
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


class PathKind(Enum):
    FILE = "file"
    FOLDER = "directory"
    LINK = "link"
    OTHER = "special file"


UNITS = "/usr/lib/systemd/system/"
_LINKS = 40  # that are followed, as in the kernel
_BY_MODE = {stat.S_IFREG: PathKind.FILE, stat.S_IFDIR: PathKind.FOLDER, stat.S_IFLNK: PathKind.LINK}
_KINDS = {
    tarfile.REGTYPE: PathKind.FILE,
    tarfile.AREGTYPE: PathKind.FILE,
    tarfile.DIRTYPE: PathKind.FOLDER,
    tarfile.SYMTYPE: PathKind.LINK,
}


@dataclass(frozen=True)
class RootEntry:
    """`mode`: permission bits; `size`: bytes; `digest`: SHA-256 in hex, "" unless a file; `same`: of a hard link, the
    other path; `source`: of a file that would be fetched, the URLs, in which case its contents are not known.
    """

    path: str
    kind: PathKind
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


Snapshot: TypeAlias = Mapping[str, RootEntry]


def read(archive: Path) -> dict[str, RootEntry]:
    """Every entry of the archive by its path, in order."""
    found: dict[str, RootEntry] = {}
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            same = found.get(_absolute(member.linkname)) if member.type == tarfile.LNKTYPE else None
            entry = replace(same, path=_absolute(member.name), same=same.path) if same else _entry(tar, member)
            stand_in = entry.path == STAND_IN and entry.data == STAND_IN_TEXT
            if entry.path not in WORKING and not stand_in:
                found[entry.path] = entry
    return dict(sorted(found.items(), key=lambda item: item[0].split("/")))


def read_system(usr: Path) -> dict[str, RootEntry]:
    """Every entry of an image's /usr, given as a folder: all root's; data of its units only, and no digests."""
    found = {"/usr": RootEntry("/usr", PathKind.FOLDER, 0o755, 0, 0)}
    for folder, folders, files in os.walk(usr):
        inside = "/usr" + folder[len(os.fspath(usr)) :]
        for name in (*folders, *files):
            path, real = f"{inside}/{name}", f"{folder}/{name}"
            info = os.lstat(real)
            kind = _BY_MODE.get(stat.S_IFMT(info.st_mode), PathKind.OTHER)
            target = os.readlink(real) if kind is PathKind.LINK else ""
            data = Path(real).read_bytes() if kind is PathKind.FILE and path.startswith(UNITS) else None
            found[path] = RootEntry(path, kind, stat.S_IMODE(info.st_mode), 0, 0, info.st_size, target, data=data)
    return found


def find(snapshot: Snapshot, path: str) -> RootEntry | None:
    """What a path leads to, over links as the kernel follows them; None where there is nothing, or a loop."""
    at, left, followed = "", path.split("/"), 0
    while left:
        part = left.pop(0)
        if part == "..":
            at = posixpath.dirname(at).rstrip("/")
        elif part not in ("", "."):
            entry = snapshot.get(f"{at}/{part}")
            if entry is None:
                return None
            if entry.kind is not PathKind.LINK:
                at = f"{at}/{part}"
                continue
            followed += 1
            if followed > _LINKS:
                return None
            at = "" if entry.target.startswith("/") else at
            left = [*entry.target.split("/"), *left]
    return snapshot.get(at or "/")


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> RootEntry:
    kind = _KINDS.get(member.type, PathKind.OTHER)
    target, digest, data = "", "", None
    if kind is PathKind.LINK:
        target = member.linkname
    elif kind is PathKind.FILE:
        stream = tar.extractfile(member)
        assert stream is not None
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        if member.size <= KEPT_BYTES:
            stream.seek(0)
            data = stream.read()
    return RootEntry(
        _absolute(member.name), kind, member.mode & 0o7777, member.uid, member.gid, member.size, target, digest, data
    )


def _absolute(name: str) -> str:
    return "/" + name.removeprefix("./").strip("/") if name != "." else "/"


def file_text(snapshot: Snapshot, path: str) -> str:
    """The text at `path`; "" if there is none."""
    entry = snapshot.get(path)
    return (entry.text or "") if entry else ""
