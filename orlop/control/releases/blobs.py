"""Blobs as an outsider reaches them: how long each one is, and what it hashes to. Never one of them whole in memory.

A storage can say both, so it is such a place itself; a web server is asked with HEAD, and read piece by piece.
"""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urljoin, urlsplit

from orlop.control.releases.storage import FolderStorage
from orlop.trust.errors import Unreachable
from orlop.trust.route import HINT, route

SECONDS = 60.0  # without a byte
MAX_REDIRECTS = 3


class Blobs(Protocol):
    def size(self, path: str) -> int | None:
        """None when it is not there. Raises Unreachable."""
        ...

    def sha256(self, path: str) -> str | None:
        """Of all its bytes, as they are there now. None when it is not there. Raises Unreachable."""
        ...


def blobs_at(url: str) -> Blobs:
    """For what `orlop.trust.http.fetcher` takes: `http://…`, `https://…`, `file://…`, or a folder."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return HttpBlobs(url if url.endswith("/") else url + "/")
    return FolderStorage(Path(unquote(parts.path) if parts.scheme == "file" else url))


@dataclass(frozen=True)
class HttpBlobs:
    base: str

    def size(self, path: str) -> int | None:
        with self._asked("HEAD", path) as answer:
            said = answer.headers.get("Content-Length", "") if answer else ""
            if answer is not None and not (said.isascii() and said.isdigit() and len(said) < 20):
                raise Unreachable(f"{urlsplit(self.base).hostname} does not say how long {path} is", hint=HINT)
            return int(said) if answer else None

    def sha256(self, path: str) -> str | None:
        with self._asked("GET", path) as answer:
            if answer is None:
                return None
            digest = hashlib.sha256()
            while piece := answer.read(1 << 20):
                digest.update(piece)
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return digest.hexdigest()

    @contextmanager
    def _asked(self, method: str, path: str) -> Iterator[http.client.HTTPResponse | None]:
        """The answer of whoever has it, redirects followed; None when it is not there."""
        url = self.base + path
        try:
            for _ in range(MAX_REDIRECTS + 1):
                way = route(url)
                connection = way.connection(SECONDS)
                try:
                    headers = {"User-Agent": "orlop", "Accept-Encoding": "identity"} | way.headers
                    connection.request(method, way.target, headers=headers)
                    answer = connection.getresponse()
                    if answer.status in (200, 403, 404, 410):
                        yield answer if answer.status == 200 else None
                        return
                    if answer.status not in (301, 302, 303, 307, 308):
                        raise Unreachable(f"{way.url.hostname} answers {answer.status} for {path}", hint=HINT)
                    to = urljoin(url, answer.headers.get("Location", ""))
                    if urlsplit(to).scheme not in ("https", way.url.scheme):
                        raise Unreachable(f"{way.url.hostname} redirects {path} away from https", hint=HINT)
                    url = to
                finally:
                    connection.close()
        except (OSError, http.client.HTTPException, ValueError) as e:
            why = str(e) or type(e).__name__
            raise Unreachable(f"{urlsplit(self.base).hostname} does not give {path}: {why}", hint=HINT) from None
        raise Unreachable(f"{urlsplit(self.base).hostname} redirects {path} more than {MAX_REDIRECTS} times", hint=HINT)
