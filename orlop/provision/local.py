"""The files directory as this package sees it: an interface, so that translation itself does no I/O.

`filesdir.FilesDir` is the real one. Every path is relative to the files directory and stays inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class NodeKind(Enum):
    FILE = "file"
    LINK = "link"
    FOLDER = "folder"
    OTHER = "neither file, folder nor link"


@dataclass(frozen=True, slots=True)
class LocalNode:
    """One entry of a tree. `path` is relative to the tree; `data` is a file's contents, `target` a link's."""

    path: str
    kind: NodeKind
    data: bytes = b""
    executable: bool = False
    target: str = ""


class LocalError(Exception):
    """A local file cannot be had; the message says why, for the report."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class LocalFiles(Protocol):
    def read(self, path: str, /) -> bytes:
        """The contents of a file. Raises LocalError."""

    def walk(self, path: str, /) -> Iterator[LocalNode]:
        """Folders, files and links below a folder and the folder itself, sorted. Raises LocalError."""


class NoFiles:
    """No files directory was given."""

    def read(self, _path: str, /) -> bytes:
        raise _none()

    def walk(self, _path: str, /) -> Iterator[LocalNode]:
        raise _none()


def _none() -> LocalError:
    hint = "name it: `-d DIR` or `--files-dir DIR`"
    return LocalError("local files are read from a files directory, and none was given", hint)
