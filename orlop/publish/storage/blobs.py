"""Blobs as an outsider reaches them: how long each one is, and what it hashes to. Never one of them whole in memory.

A storage can say both, so it is such a place itself; a web server is asked with HEAD, and read piece by piece.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from orlop.net.dial import Patience
from orlop.net.errors import Unreachable
from orlop.net.exchange import Client, Reply
from orlop.net.route import HINT, place
from orlop.publish.storage.storage import FolderStorage

SECONDS = 60.0  # without a byte


class Blobs(Protocol):
    def size(self, path: str) -> int | None:
        """None when it is not there. Raises NetError."""
        ...

    def sha256(self, path: str) -> str | None:
        """Of all its bytes, as they are there now. None when it is not there. Raises NetError."""
        ...


def blobs_at(url: str) -> Blobs:
    """For what `orlop.trust.http.fetcher` takes: `http://…`, `https://…`, `file://…`, or a folder. Raises BadInput."""
    there = place(url)
    if isinstance(there, Path):
        return FolderStorage(there)
    return HttpBlobs(there if there.endswith("/") else there + "/")


@dataclass(frozen=True)
class HttpBlobs:
    base: str

    def size(self, path: str) -> int | None:
        with self._asked("HEAD", path) as answer:
            length = answer.headers.get("Content-Length", "") if answer else ""
            if answer is not None and not (length.isascii() and length.isdigit() and len(length) < 20):
                raise Unreachable(f"{urlsplit(self.base).hostname} does not say how long {path} is", hint=HINT)
            return int(length) if answer else None

    def sha256(self, path: str) -> str | None:
        with self._asked("GET", path) as answer:
            if answer is None:
                return None
            digest = hashlib.sha256()
            for piece in answer.pieces():
                digest.update(piece)
            return digest.hexdigest()

    @contextmanager
    def _asked(self, method: str, path: str) -> Iterator[Reply | None]:
        """The answer of whoever has it, redirects followed; None when it is not there."""
        with closing(Client(Patience(None, SECONDS))) as client:
            answer = client.ask(self.base + path, path, method=method)
            yield answer if answer.given() else None
