"""Small files from a web server or a folder, with every size and every wait bounded.

Nothing here is believed: bytes count when `verify` says so. A file that is longer than asked for is refused after that
many bytes; a server that does not answer, stops or drips is given up at a deadline that nothing it does moves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from orlop.net.dial import Patience
from orlop.net.errors import TooLong, Unreachable
from orlop.net.exchange import Client
from orlop.net.route import HINT, place
from orlop.trust.client import MetadataFetch
from orlop.trust.errors import Refused

SECONDS = 60.0  # for one small file, all told
SLOWEST = 16 << 10  # bytes a second; larger files get the time this takes


def fetcher(url: str, *, seconds: float = SECONDS, alive: Callable[[], None] = lambda: None) -> MetadataFetch:
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
                raw = f.read(most + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as e:
            raise Unreachable(f"{self.folder / path} cannot be read: {e.strerror}", hint=HINT) from None
        if len(raw) > most:
            raise _too_long(f"{path} is longer than the {most} bytes it may have")
        return raw


@dataclass(frozen=True)
class HttpFetch:
    """One deadline is for all of a file: the host's addresses, redirects, headers and body."""

    base: str
    seconds: float
    alive: Callable[[], None]

    def __call__(self, path: str, most: int) -> bytes | None:
        patience = Patience(self.seconds + most / SLOWEST, alive=self.alive)
        with closing(Client(patience)) as client:
            answer = client.ask(self.base + path, path)
            try:
                return answer.whole(most) if answer.given() else None
            except TooLong as e:
                raise _too_long(e.message) from None


def _too_long(why: str) -> Refused:
    return Refused(why, hint="nothing was changed")
