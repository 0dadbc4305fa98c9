"""One server's blobs, or a folder's: bytes from an offset on, as they come.

Nothing here is believed. What a server says about lengths and ranges decides only whether asking it goes on; whether
bytes count is decided by their hash, in `fetch`. Every wait is bounded: connecting, silence, and dripping.

    SourceError
    ├── Unreachable    it did not answer, stopped, or was too slow: try again, or another
    │   └── Overloaded it says so, and perhaps when to come again
    ├── Absent         it does not have it
    └── Lying          what it says about what it sends contradicts itself
"""

from __future__ import annotations

import http.client
import os
import re
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from orlop.errors import BadInput, OrlopError
from orlop.trust import errors
from orlop.trust.dial import Connection, Patience, said
from orlop.trust.route import HINT, OVERLOADED, REDIRECTS, place, public, redirected, retry_after, route

STALL_SECONDS = 30.0
SLOWEST = 1024  # bytes a second, over a window of STALL_SECONDS
MAX_REDIRECTS = 5
_RANGE = re.compile(r"\s*bytes ([0-9]{1,18})-")
_AGENT = {"User-Agent": "orlop-update", "Accept-Encoding": "identity"}


class SourceError(OrlopError):
    pass


class Unreachable(SourceError):
    pass


class Overloaded(Unreachable, errors.Overloaded):
    """Of blobs, as of metadata: `after` is how long to leave the server alone."""


class Absent(SourceError):
    pass


class Lying(SourceError):
    pass


class Stream(Protocol):
    """Bytes of a blob; `position` is the offset of the next one, `whole` whether it goes on to the blob's end."""

    position: int
    whole: bool

    def read_into(self, buffer: memoryview) -> int:
        """At least one byte, or 0 at the end. Raises Unreachable."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    @property
    def name(self) -> str: ...

    def open(self, path: str, start: int, end: int) -> Stream:
        """The bytes from `start` to `end`; a server may begin earlier (`position`) and go on. Raises SourceError."""
        ...

    def close(self) -> None:
        """Let go of what is kept open. It may be used again."""
        ...


def source(
    url: str,
    *,
    stall: float = STALL_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    alive: Callable[[], None] = lambda: None,
) -> Source:
    """For `http://…`, `https://…`, `file:///…` or the path of a folder. Raises BadInput.

    `alive` is called while a server is waited for.
    """
    where = place(url)
    return FolderSource(where) if isinstance(where, Path) else HttpSource(where, stall=stall, clock=clock, alive=alive)


@dataclass(frozen=True)
class FolderSource:
    folder: Path

    @property
    def name(self) -> str:
        return str(self.folder)

    def open(self, path: str, start: int, end: int) -> Stream:
        try:
            fd = os.open(self.folder / path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Absent(f"{self.folder} has no {path}") from None
        except OSError as e:
            raise Unreachable(f"{self.folder / path} cannot be read: {e.strerror}") from None
        return _FileStream(fd, start, end)

    def close(self) -> None:
        pass


class _FileStream:
    whole = False

    def __init__(self, fd: int, position: int, end: int) -> None:
        self._fd, self.position, self._end = fd, position, end

    def read_into(self, buffer: memoryview) -> int:
        try:
            count = os.preadv(self._fd, [buffer[: max(0, self._end - self.position)]], self.position)
        except OSError as e:
            raise Unreachable(f"reading stopped: {e.strerror}") from None
        self.position += count
        return count

    def close(self) -> None:
        os.close(self._fd)


class HttpSource:
    """One server, one connection that is kept while it can be; proxies as the environment says."""

    def __init__(self, url: str, *, stall: float, clock: Callable[[], float], alive: Callable[[], None]) -> None:
        self._base = url.rstrip("/") + "/"
        self._stall, self._clock = stall, clock
        self._patience = Patience(stall, stall, alive=alive)
        self._kept: tuple[str, Connection] | None = None

    @property
    def name(self) -> str:
        return public(self._base)

    def open(self, path: str, start: int, end: int) -> Stream:
        url = urllib.parse.urljoin(self._base, path)
        self._patience.begin(self._stall)  # until there is an answer, from wherever it is redirected to
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(url, start, end)
            if response.status not in REDIRECTS:
                self._patience.begin(None)
                return self._stream(response, url, start)
            self.close()
            try:
                url = redirected(url, response.headers.get("Location", ""))
            except BadInput as e:
                raise Lying(f"{self.name} redirects {e.message}", hint=HINT) from None
        raise Lying(f"{self.name} redirects more than {MAX_REDIRECTS} times", hint=HINT)

    def _ask(self, url: str, start: int, end: int) -> http.client.HTTPResponse:
        for again in (True, False):
            kept = self._kept is not None
            try:
                target, connection, headers = self._connection(url)
                connection.request("GET", target, headers={**headers, "Range": f"bytes={start}-{end - 1}"})
                return connection.getresponse()
            except (OSError, http.client.HTTPException, ValueError) as e:
                self.close()
                if not (again and kept):  # a kept connection may have been closed at the other end meanwhile
                    raise Unreachable(f"{self.name} does not answer: {said(e)}", hint=HINT) from None
        raise AssertionError

    def _connection(self, url: str) -> tuple[str, Connection, dict[str, str]]:
        """What to ask for, over which connection, with which headers."""
        way = route(url)
        if not self._kept or self._kept[0] != way.key:
            self.close()
            self._kept = (way.key, Connection(way, self._patience))
        return way.target, self._kept[1], _AGENT | way.headers

    def _stream(self, response: http.client.HTTPResponse, url: str, start: int) -> Stream:
        status = response.status
        if status not in (200, 206):
            response.close()
            self.close()
        if status in (404, 410):
            raise Absent(f"{self.name} has no {public(url)}")
        if status in OVERLOADED:
            after = retry_after(response.headers, datetime.now(UTC))
            raise Overloaded(f"{self.name} answers {status}: it is overloaded", hint=HINT, after=after)
        if status not in (200, 206):
            raise Unreachable(f"{self.name} answers {status}", hint=HINT)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            self.close()
            raise Lying(f"{self.name} sends an encoding that was not asked for", hint=HINT)
        if status == 206 and (at := _range_start(response.headers.get("Content-Range", ""))) != start:
            self.close()
            raise Lying(f"{self.name} was asked for byte {start} and answers from {at}", hint=HINT)
        return _HttpStream(response, self, start if status == 206 else 0, whole=status == 200)

    def close(self) -> None:
        if self._kept:
            self._kept[1].close()
            self._kept = None


class _HttpStream:
    def __init__(self, response: http.client.HTTPResponse, owner: HttpSource, position: int, *, whole: bool) -> None:
        self._response, self._owner = response, owner
        self.position, self.whole = position, whole
        self._since, self._got = owner._clock(), 0  # noqa: SLF001
        self._error: Unreachable | None = None

    def read_into(self, buffer: memoryview) -> int:
        """What comes until the buffer is full; what came before an error is not lost with it, the error comes next."""
        if self._error:
            raise self._error
        count = 0
        while count < len(buffer):
            try:
                data = self._response.read1(len(buffer) - count)
            except (OSError, http.client.HTTPException, ValueError) as e:
                self._error = Unreachable(f"{self._owner.name} stopped at byte {self.position}: {said(e)}", hint=HINT)
                self.close()
                if count:
                    break
                raise self._error from None
            if not data:
                break
            buffer[count : count + len(data)] = data
            count += len(data)
            self.position += len(data)
            self._hurry(len(data))
        return count

    def _hurry(self, count: int) -> None:
        """A server that sends a byte now and then is as good as one that does not answer."""
        now, window = self._owner._clock(), self._owner._stall  # noqa: SLF001
        self._got += count
        if now - self._since >= window:
            if self._got < SLOWEST * window:
                self.close()
                raise Unreachable(f"{self._owner.name} sends less than {SLOWEST} bytes a second", hint=HINT)
            self._since, self._got = now, 0

    def close(self) -> None:
        if not self._response.isclosed():  # the rest of the answer is not wanted: the connection is of no use
            self._owner.close()
        self._response.close()


def _range_start(text: str) -> int | None:
    found = _RANGE.match(text)
    return int(found[1]) if found else None
