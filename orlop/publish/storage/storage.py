"""Where a repository is kept: files by name, written whole. One small interface, a folder to begin with.

    metadata/   N.root.json, N.snapshot.json, N.<role>.json, timestamp.json
    targets/    <channel>/<hash>.<name>
    blobs/      <hash>

Invariant: a name holds the old content or the new one, never a part. Nothing is listed to find out what is current:
the timestamp says that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from orlop.errors import BadInput
from orlop.files import locked, replacing, write_atomic


class Storage(Protocol):
    def read(self, path: str) -> bytes | None: ...

    def size(self, path: str) -> int | None: ...

    def sha256(self, path: str) -> str | None:
        """Of the bytes as they are there now, without holding them in memory."""
        ...

    def local(self, path: str) -> AbstractContextManager[Path]:
        """The file as one of this computer's, for the block. Raises FileNotFoundError."""
        ...

    def write(self, path: str, data: bytes) -> None: ...

    def upload(self, path: str, source: Path, sha256: str) -> None:
        """Put a file there. Raises BadInput when its bytes have another hash."""
        ...

    def remove(self, path: str) -> None: ...

    def names(self, folder: str) -> Iterator[str]:
        """Every file below the folder, with the folder's name in front, in no order."""
        ...

    def lock(self) -> AbstractContextManager[str]:
        """The right to change the repository; gives what is to be told of it, mostly nothing. Raises Busy.

        Who loses it while working is refused (Busy) before anything is written that machines would see.
        """
        ...


class FolderStorage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes | None:
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def size(self, path: str) -> int | None:
        try:
            return (self.folder / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sha256(self, path: str) -> str | None:
        try:
            return hash_of(self.folder / path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        if not (self.folder / path).is_file():
            raise FileNotFoundError(path)
        yield self.folder / path

    def write(self, path: str, data: bytes) -> None:
        write_atomic(self.folder / path, data)

    def upload(self, path: str, source: Path, sha256: str) -> None:
        final = self.folder / path
        with replacing(final) as out:
            digest = hashlib.sha256()
            with source.open("rb") as f:
                while piece := f.read(1 << 20):
                    digest.update(piece)
                    out.write(piece)
            if digest.hexdigest() != sha256:
                raise BadInput(f"{source} is not what its index says", hint="build the image again: orlop image build")

    def remove(self, path: str) -> None:
        (self.folder / path).unlink(missing_ok=True)

    def names(self, folder: str) -> Iterator[str]:
        for path in (self.folder / folder).rglob("*"):
            if path.is_file():
                yield str(path.relative_to(self.folder))

    @contextmanager
    def lock(self) -> Iterator[str]:
        with locked(self.folder.with_name(f".{self.folder.name}.lock"), f"the repository {self.folder}"):
            yield ""


def hash_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
