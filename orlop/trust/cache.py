"""The cache of verified metadata: a folder, on a machine below /var, where it survives updates.

Every file is replaced whole. Names come from signed metadata and are quoted by the client where they hold more than
folders need; a name that leads out of the folder is refused all the same.
"""

from __future__ import annotations

from pathlib import Path

from orlop.files import write_atomic


class FolderCache:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, name: str, data: bytes) -> None:
        write_atomic(self._path(name), data)

    def forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not all(part not in ("", ".", "..") and "\0" not in part for part in name.split("/")):
            raise ValueError(f"{name!r} is not a valid name in a cache")
        return self.folder / name


class MemoryCache(dict[str, bytes]):
    """For one check that leaves nothing behind."""

    def read(self, name: str) -> bytes | None:
        return self.get(name)

    def write(self, name: str, data: bytes) -> None:
        self[name] = data

    def forget(self, name: str) -> None:
        self.pop(name, None)
