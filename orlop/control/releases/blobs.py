"""Blobs as an outsider reaches them: how long each one is, and what it hashes to. Never one of them whole in memory.

A storage can say both, so it is such a place itself; a web server is asked with HEAD, and read piece by piece.
"""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from orlop.control.releases.storage import FolderStorage
from orlop.errors import BadInput
from orlop.trust.dial import Connection, Patience, said
from orlop.trust.errors import Unreachable
from orlop.trust.http import AGENT, MAX_REDIRECTS
from orlop.trust.route import HINT, REDIRECTS, place, redirected, route

SECONDS = 60.0  # without a byte


class Blobs(Protocol):
    def size(self, path: str) -> int | None:
        """None when it is not there. Raises Unreachable."""
        ...

    def sha256(self, path: str) -> str | None:
        """Of all its bytes, as they are there now. None when it is not there. Raises Unreachable."""
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
            while piece := answer.read1(1 << 20):
                digest.update(piece)
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return digest.hexdigest()

    @contextmanager
    def _asked(self, method: str, path: str) -> Iterator[http.client.HTTPResponse | None]:
        """The answer of whoever has it, redirects followed; None when it is not there."""
        url, patience = self.base + path, Patience(None, SECONDS)
        host = urlsplit(self.base).hostname
        try:
            for _ in range(MAX_REDIRECTS + 1):
                way = route(url)
                with closing(Connection(way, patience)) as connection:
                    connection.request(method, way.target, headers=AGENT | way.headers)
                    answer = connection.getresponse()
                    if answer.status in (200, 403, 404, 410):
                        yield answer if answer.status == 200 else None
                        return
                    if answer.status not in REDIRECTS:
                        raise Unreachable(f"{way.url.hostname} answers {answer.status} for {path}", hint=HINT)
                    try:
                        url = redirected(url, answer.headers.get("Location") or "")
                    except BadInput as e:
                        raise Unreachable(f"{host} redirects {path} {e.message}", hint=HINT) from None
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Unreachable(f"{host} does not give {path}: {said(e)}", hint=HINT) from None
        raise Unreachable(f"{host} redirects {path} more than {MAX_REDIRECTS} times", hint=HINT)
