"""One server's blobs, or a folder's: bytes from an offset on, as they come.

Nothing here is believed. What a server says about lengths and ranges decides only whether asking it goes on; whether
bytes count is decided by their hash, in `fetch`. Every wait is bounded: connecting, silence, and dripping.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

from orlop.net.dial import Patience
from orlop.net.errors import Absent, Lying, Unreachable
from orlop.net.exchange import Client, Reply
from orlop.net.route import HINT, place, public

STALL_SECONDS = 30.0
SLOWEST = 1024  # bytes a second, over a window of STALL_SECONDS
_RANGE = re.compile(r"\s*bytes ([0-9]{1,18})-")


class BlobStream(Protocol):
    """Bytes of a blob; `position` is the offset of the next one, `whole` whether it goes on to the blob's end."""

    position: int
    whole: bool

    def read_into(self, buffer: memoryview) -> int:
        """At least one byte, or 0 at the end. Raises Unreachable."""
        ...

    def close(self) -> None: ...


class BlobSource(Protocol):
    @property
    def name(self) -> str: ...

    def open(self, path: str, start: int, end: int) -> BlobStream:
        """The bytes from `start` to `end`; a server may begin earlier (`position`) and go on. Raises NetError."""
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
) -> BlobSource:
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

    def open(self, path: str, start: int, end: int) -> BlobStream:
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
        self._client = Client(self._patience, self.name)

    @property
    def name(self) -> str:
        return public(self._base)

    def open(self, path: str, start: int, end: int) -> BlobStream:
        self._patience.begin(self._stall)  # until there is an answer, from wherever it is redirected to
        answer = self._client.ask(urljoin(self._base, path), headers={"Range": f"bytes={start}-{end - 1}"})
        self._patience.begin(None)
        if not answer.given():
            raise Absent(f"{self.name} has no {path}")
        partial = answer.status == 206
        if partial and (at := _range_start(answer.headers.get("Content-Range", ""))) != start:
            self.close()
            raise Lying(f"{self.name} was asked for byte {start} and answers from {at}", hint=HINT)
        return _HttpStream(
            answer, self.name, start if partial else 0, whole=not partial, window=self._stall, clock=self._clock
        )

    def close(self) -> None:
        self._client.close()


class _HttpStream:
    """`window` is over how many seconds a server must not be slower than `SLOWEST`."""

    def __init__(
        self, answer: Reply, name: str, position: int, *, whole: bool, window: float, clock: Callable[[], float]
    ) -> None:
        self._answer, self._name, self._window, self._clock = answer, name, window, clock
        self.position, self.whole = position, whole
        self._since, self._got = clock(), 0
        self._error: Unreachable | None = None

    def read_into(self, buffer: memoryview) -> int:
        """What comes until the buffer is full; what came before an error is not lost with it, the error comes next."""
        if self._error:
            raise self._error
        count = 0
        while count < len(buffer):
            try:
                data = self._answer.read(len(buffer) - count)
            except Unreachable as e:
                self._error = Unreachable(f"{e.message}, at byte {self.position}", hint=HINT)
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
        now = self._clock()
        self._got += count
        if now - self._since >= self._window:
            if self._got < SLOWEST * self._window:
                self.close()
                raise Unreachable(f"{self._name} sends less than {SLOWEST} bytes a second", hint=HINT)
            self._since, self._got = now, 0

    def close(self) -> None:
        self._answer.close()


def _range_start(text: str) -> int | None:
    match = _RANGE.match(text)
    return int(match[1]) if match else None
