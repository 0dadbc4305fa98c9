"""Small files from a web server or a folder, with every size and every wait bounded.

Nothing here is believed: bytes count when `verify` says so. A file that is longer than asked for is refused after that
many bytes; a server that does not answer, stops or drips is given up at a deadline that nothing it does moves.
"""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from orlop.errors import BadInput
from orlop.trust.client import Fetch
from orlop.trust.errors import Overloaded, Refused, Unreachable
from orlop.trust.route import HINT, OVERLOADED, retry_after, route

SECONDS = 60.0  # for one small file, all told
SLOWEST = 16 << 10  # bytes a second; larger files get the time this takes
MAX_REDIRECTS = 3
AGENT = {"User-Agent": "orlop", "Accept-Encoding": "identity"}


def fetcher(url: str, *, seconds: float = SECONDS) -> Fetch:
    """For `http://…`, `https://…`, or a folder. Raises BadInput."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        return HttpFetch(url if url.endswith("/") else url + "/", seconds)
    if parts.scheme == "file":
        return FolderFetch(Path(unquote(parts.path)))
    if not parts.scheme:
        return FolderFetch(Path(url))
    raise BadInput(f"{url!r} is no address of a repository", hint="use http://…, https://… or a folder")


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
    base: str
    seconds: float

    def __call__(self, path: str, most: int) -> bytes | None:
        url = self.base + path
        deadline = self.seconds + most / SLOWEST
        for _ in range(MAX_REDIRECTS + 1):
            status, found = _get(url, most, path, deadline)
            if status == 200:
                return found
            if status in (403, 404, 410):
                return None
            if status not in (301, 302, 303, 307, 308):
                raise Unreachable(f"{urlsplit(url).hostname} answers {status} for {path}", hint=HINT)
            to = urljoin(url, found.decode("latin-1"))
            if urlsplit(to).scheme != "https" and urlsplit(to).scheme != urlsplit(url).scheme:
                raise Unreachable(f"{urlsplit(url).hostname} redirects {path} away from https", hint=HINT)
            url = to
        raise Unreachable(f"{urlsplit(url).hostname} redirects {path} more than {MAX_REDIRECTS} times", hint=HINT)


def _get(url: str, most: int, path: str, deadline: float) -> tuple[int, bytes]:
    """Status, and the body (of a redirect: where to)."""
    way = route(url)
    host, connection = way.url.hostname or "", way.connection(deadline)
    late = threading.Event()
    held: list[socket.socket] = []  # the connection forgets its socket when an answer takes it over

    def give_up() -> None:
        late.set()
        for sock in held:
            with suppress(OSError):  # over already
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(deadline, give_up)
    timer.daemon = True
    timer.start()
    try:
        connection.connect()
        held.append(connection.sock)
        connection.request("GET", way.target, headers=AGENT | way.headers)
        with connection.getresponse() as answer:
            if answer.status == 200:
                return 200, _body(answer, host, most, path, late)
            if answer.status in OVERLOADED:
                after = retry_after(answer.headers, datetime.now(UTC))
                raise Overloaded(f"{host} answers {answer.status} for {path}: it is overloaded", hint=HINT, after=after)
            return answer.status, (answer.headers.get("Location") or "").encode("latin-1", "replace")
    except (OSError, http.client.HTTPException, ValueError) as e:
        why = f"took longer than {deadline:.0f} s" if late.is_set() else (str(e) or type(e).__name__)
        raise Unreachable(f"{host} does not give {path}: {why}", hint=HINT) from None
    finally:
        timer.cancel()
        connection.close()


def _body(answer: http.client.HTTPResponse, host: str, most: int, path: str, late: threading.Event) -> bytes:
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise Unreachable(f"{host} sends {path} in an encoding that was not asked for", hint=HINT)
    raw = _at_most(answer.read(most + 1), most, path)
    if late.is_set() or answer.length:  # cut short
        raise Unreachable(f"{host} stopped sending {path}", hint=HINT)
    return raw


def _at_most(raw: bytes, most: int, path: str) -> bytes:
    if len(raw) > most:
        raise Refused(f"{path} is longer than the {most} bytes it may have", hint="nothing was changed")
    return raw
