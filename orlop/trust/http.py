"""Small files from a web server or a folder, with every size and every wait bounded.

Nothing here is believed: bytes count when `verify` says so. A file that is longer than asked for is refused after that
many bytes; a server that does not answer, stops or drips is given up at a deadline that nothing it does moves.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orlop.errors import BadInput
from orlop.trust.client import Fetch
from orlop.trust.dial import Connection, Patience, first_bytes, said
from orlop.trust.errors import Overloaded, Refused, Unreachable
from orlop.trust.route import HINT, OVERLOADED, REDIRECTS, Route, place, redirected, retry_after, route

SECONDS = 60.0  # for one small file, all told
SLOWEST = 16 << 10  # bytes a second; larger files get the time this takes
MAX_REDIRECTS = 3
AGENT = {"User-Agent": "orlop", "Accept-Encoding": "identity"}


def fetcher(url: str, *, seconds: float = SECONDS, alive: Callable[[], None] = lambda: None) -> Fetch:
    """For `http://…`, `https://…`, or a folder. `alive` is called while it waits. Raises BadInput."""
    where = place(url)
    if isinstance(where, Path):
        return FolderFetch(where)
    return HttpFetch(where if where.endswith("/") else where + "/", seconds, alive)


@dataclass(frozen=True)
class FolderFetch:
    folder: Path

    def __call__(self, path: str, most: int) -> bytes | None:
        parts = unquote(path).split("/")
        if "" in parts or ".." in parts:
            return None  # nothing outside of the folder
        try:
            with self.folder.joinpath(*parts).open("rb") as f:
                return _at_most(f.read(most + 1), most, path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as e:
            raise Unreachable(f"{self.folder / path} cannot be read: {e.strerror}", hint=HINT) from None


@dataclass(frozen=True)
class HttpFetch:
    """One deadline is for all of a file: the host's addresses, redirects, headers and body."""

    base: str
    seconds: float
    alive: Callable[[], None]

    def __call__(self, path: str, most: int) -> bytes | None:
        url = self.base + path
        host = urlsplit(url).hostname
        patience = Patience(self.seconds + most / SLOWEST, alive=self.alive)
        for _ in range(MAX_REDIRECTS + 1):
            status, found = _get(route(url), most, path, patience)
            if status == 200:
                return found
            if status in (403, 404, 410):
                return None
            if status not in REDIRECTS:
                raise Unreachable(f"{host} answers {status} for {path}", hint=HINT)
            try:
                url = redirected(url, found.decode("latin-1"))
            except BadInput as e:
                raise Unreachable(f"{host} redirects {path} {e.message}", hint=HINT) from None
        raise Unreachable(f"{host} redirects {path} more than {MAX_REDIRECTS} times", hint=HINT)


def _get(way: Route, most: int, path: str, patience: Patience) -> tuple[int, bytes]:
    """Status, and the body (of a redirect: where to)."""
    host = way.url.hostname
    try:
        with closing(Connection(way, patience)) as connection:
            connection.request("GET", way.target, headers=AGENT | way.headers)
            with connection.getresponse() as answer:
                if answer.status == 200:
                    return 200, _body(answer, most, path)
                if answer.status in OVERLOADED:
                    after = retry_after(answer.headers, datetime.now(UTC))
                    why = f"{host} answers {answer.status} for {path}: it is overloaded"
                    raise Overloaded(why, hint=HINT, after=after)
                return answer.status, (answer.headers.get("Location") or "").encode("latin-1", "replace")
    except (OSError, http.client.HTTPException, ValueError) as e:
        raise Unreachable(f"{host} does not give {path}: {said(e)}", hint=HINT) from None


def _body(answer: http.client.HTTPResponse, most: int, path: str) -> bytes:
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise http.client.HTTPException("it sends an encoding that was not asked for")
    raw = first_bytes(answer, most + 1)
    if len(raw) <= most and answer.length:
        raise http.client.HTTPException("it stopped sending")
    return _at_most(raw, most, path)


def _at_most(raw: bytes, most: int, path: str) -> bytes:
    if len(raw) > most:
        raise Refused(f"{path} is longer than the {most} bytes it may have", hint="nothing was changed")
    return raw
