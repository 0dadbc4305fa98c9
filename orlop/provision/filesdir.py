"""The real files directory: the only module of this package that touches the disk.

Invariant: nothing outside the directory is ever read, whatever `..`, absolute paths or symbolic links say. A link
inside a tree is copied as a link and not followed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path

from orlop.provision.local import LocalError, LocalNode, NodeKind

MAX_FILE = 64 << 20
MAX_NODES = 100_000


class FilesDir:
    """A folder on this machine. Satisfies `LocalFiles`."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        if not self.root.is_dir():
            raise LocalError(f"the files directory {root} is not a folder", "name a folder: `-d DIR`")

    def read(self, path: str) -> bytes:
        return self._read(self._inside(path), path)

    def walk(self, path: str) -> Iterator[LocalNode]:
        top = self._inside(path)
        if not Path(top).is_dir():
            raise LocalError(f"{path!r} is not a folder", "a tree is a folder; for one file use `storage.files`")
        for count, (here, name) in enumerate(self._entries(top, "")):
            if count >= MAX_NODES:
                raise LocalError(f"{path!r} holds more than {MAX_NODES} files")
            yield self._node(here, name)

    def _entries(self, top: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Paths of everything, depth first in order of names; the stack is ours, not Python's."""
        stack = [(top, prefix)]
        while stack:
            folder, prefix = stack.pop()
            try:
                is_folder = stat.S_ISDIR(os.lstat(folder).st_mode)
                names = sorted(os.listdir(folder), reverse=True) if is_folder else []
            except OSError as e:
                raise LocalError(f"{prefix or folder!r} cannot be read: {os.strerror(e.errno or 0)}") from None
            yield folder, prefix
            stack += [(posixpath.join(folder, name), posixpath.join(prefix, name)) for name in names]

    def _node(self, path: str, name: str) -> LocalNode:
        try:
            name.encode()
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(path)
                target.encode()
                return LocalNode(name, NodeKind.LINK, target=target)
        except UnicodeEncodeError:
            raise LocalError(f"the name {name!r} is not UTF-8") from None
        except OSError as e:
            raise LocalError(f"{name!r} cannot be read: {os.strerror(e.errno or 0)}") from None
        if not stat.S_ISREG(mode):
            return LocalNode(name, NodeKind.FOLDER if stat.S_ISDIR(mode) else NodeKind.OTHER)
        return LocalNode(name, NodeKind.FILE, self._read(path, name), executable=bool(mode & 0o111))

    def _inside(self, path: str) -> str:
        """The real path of `path`, which is inside the directory or an error."""
        if _climbs(path):
            raise LocalError(f"{path!r} leads out of the files directory", "put what it needs below that directory")
        try:
            real = os.path.realpath(self.root / posixpath.normpath(path).lstrip("/"), strict=True)
        except (OSError, ValueError) as e:
            reason = os.strerror(e.errno) if isinstance(e, OSError) and e.errno else "it is not a valid file name"
            if isinstance(e, OSError) and e.errno == errno.ENOENT:
                reason = "there is no such file"
            raise LocalError(
                f"{path!r} cannot be read: {reason}", "paths are relative to the files directory"
            ) from None
        if real != str(self.root) and not real.startswith(str(self.root).rstrip("/") + "/"):
            raise LocalError(f"{path!r} leads out of the files directory through a symbolic link")
        return real

    def _read(self, real: str, name: str) -> bytes:
        try:
            fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as f:
                info = os.fstat(f.fileno())
                if not stat.S_ISREG(info.st_mode):
                    raise LocalError(f"{name!r} is not a regular file")
                if info.st_size > MAX_FILE:
                    raise LocalError(f"{name!r} is larger than {MAX_FILE >> 20} MiB", "give a URL instead: `source:`")
                return f.read(MAX_FILE + 1)
        except OSError as e:
            raise LocalError(f"{name!r} cannot be read: {os.strerror(e.errno or 0)}") from None


def _climbs(path: str) -> bool:
    """Whether `..` leads above the start."""
    depth = 0
    for part in path.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False
