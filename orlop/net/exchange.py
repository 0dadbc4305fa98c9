"""One exchange with a web server: asked, redirected, answered, its body read. The only HTTP client there is.

    Client.ask ──→ route (proxy, login) ──→ dial ──→ redirects ──→ Reply: status, headers, the body as it comes

Lifetime: a client is one thread's, and keeps one connection while it can; who is done with it closes it. Invariant: an
exchange ends in an answer or in a `NetError`, within its `Patience` and within the bytes that were asked for, whatever
the server does. Nothing that it says is believed.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import IO, TypeVar

from orlop.errors import BadInput
from orlop.net.dial import Connection, Patience, said
from orlop.net.errors import Lying, Overloaded, TooLong, Unreachable
from orlop.net.route import HINT, OVERLOADED, REDIRECTS, Route, redirected, retry_after, route

MAX_REDIRECTS = 5
AGENT = {"User-Agent": "orlop", "Accept-Encoding": "identity"}
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds between two tries
_PIECE = 1 << 20
_TROUBLE = (OSError, http.client.HTTPException, ValueError)  # ValueError: a header or a chunk that is none

T = TypeVar("T")


class Client:
    """`who` is how errors call the server, its host unless given. `direct`: no proxy, whatever the environment names.

    With `redirects` of 0 an answer that redirects is one like any other. `context`: whom it believes and how it shows
    itself, over TLS; without one it believes the authorities of the system, and shows nothing.
    """

    def __init__(
        self,
        patience: Patience,
        who: str = "",
        *,
        redirects: int = MAX_REDIRECTS,
        direct: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._context = context
        self._patience, self._who, self._redirects, self._direct = patience, who, redirects, direct
        self._kept: tuple[str, Connection] | None = None
        self._last: http.client.HTTPResponse | None = None

    def ask(
        self,
        url: str,
        what: str = "",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
    ) -> Reply:
        """The answer of whoever is redirected to. `what` is how errors call what is asked for.

        Raises Unreachable, Lying, and BadInput when `url` is none.
        """
        way = route(url, direct=self._direct)
        who = self._who or way.url.hostname or ""
        about = f" {what}" if what else ""
        for _ in range(self._redirects + 1):
            response = self._send(way, who, what, method, dict(headers or {}), body)
            self._last, answer = response, Reply(self, response, who, what)
            if answer.status not in REDIRECTS or not self._redirects:
                return answer
            self.close()
            try:
                url = redirected(url, answer.headers.get("Location") or "")
            except BadInput as e:
                raise Lying(f"{who} redirects{about} {e.message}", hint=HINT) from None
            way = route(url, direct=self._direct)
        raise Lying(f"{who} redirects{about} more than {self._redirects} times", hint=HINT)

    def _send(
        self, way: Route, who: str, what: str, method: str, headers: dict[str, str], body: bytes | IO[bytes] | None
    ) -> http.client.HTTPResponse:
        while True:
            is_kept = self._kept is not None and self._kept[0] == way.key
            try:
                if self._kept is None or not is_kept:
                    self.close()
                    self._kept = (way.key, Connection(way, self._patience, self._context))
                connection = self._kept[1]
                connection.request(method, way.target, body, AGENT | way.headers | headers)
                return connection.getresponse()
            except _TROUBLE as e:
                self.close()
                # a connection that was kept may have been closed at the other end meanwhile: once more, with a new one
                if not is_kept or body is not None:
                    does = f"does not give {what}" if what else "does not answer"
                    raise Unreachable(f"{who} {does}: {said(e)}", hint=HINT) from None

    def close(self) -> None:
        """Let go of the connection, and of an answer that was not read to its end. The client may be used again."""
        if self._last:
            self._last.close()  # it holds the socket open, closed or not
            self._last = None
        if self._kept:
            self._kept[1].close()
            self._kept = None


class Reply:
    """`status` and `headers` are what the server says; the body is read once, from its beginning on."""

    def __init__(self, client: Client, response: http.client.HTTPResponse, who: str, what: str) -> None:
        self._client, self._response, self._who, self._what = client, response, who, what
        self.status, self.headers = response.status, response.headers

    def given(self) -> bool:
        """Whether the body is what was asked for; False when the server does not have it.

        A store that does not list what it has answers 403 for what it has not. Raises Overloaded, Unreachable, Lying.
        """
        if self.status in (200, 206):
            if self.headers.get("Content-Encoding", "identity") != "identity":
                self._client.close()
                raise Lying(f"{self._who} sends an encoding that was not asked for", hint=HINT)
            return True
        self.close()
        if self.status in (403, 404, 410):
            return False
        answers = f"{self._who} answers {self.status}{f' for {self._what}' if self._what else ''}"
        if self.status in OVERLOADED:
            after = retry_after(self.headers, datetime.now(UTC))
            raise Overloaded(f"{answers}: it is overloaded", hint=HINT, after=after)
        raise Unreachable(answers, hint=HINT)

    def read(self, most: int) -> bytes:
        """What comes next, at most so many bytes; empty at the end, be it too early. Raises Unreachable."""
        try:
            return self._response.read1(most)  # not by `read`, which believes a chunk that calls itself -1 bytes long
        except _TROUBLE as e:
            self.close()
            raise self._stopped(said(e)) from None

    def first(self, most: int) -> bytes:
        """At most so many bytes of the body; it may have more. Raises Unreachable."""
        raw = bytearray()
        while len(raw) < most and (data := self.read(most - len(raw))):
            raw += data
        return bytes(raw)

    def whole(self, most: int) -> bytes:
        """The body. Raises TooLong when it has more than so many bytes, Unreachable when it is cut short."""
        raw = self.first(most + 1)
        if len(raw) > most:
            self.close()
            raise TooLong(f"{self._what or self._who} is longer than the {most} bytes it may have", hint=HINT)
        self._must_be_over()
        return raw

    def pieces(self) -> Iterator[bytes]:
        """The body, however long. Raises Unreachable when it is cut short."""
        while data := self.read(_PIECE):
            yield data
        self._must_be_over()

    def _must_be_over(self) -> None:
        if self._response.length:
            self.close()
            raise self._stopped("it stopped sending")

    def _stopped(self, why: str) -> Unreachable:
        return Unreachable(f"{self._who} does not give {self._what or 'all of it'}: {why}", hint=HINT)

    def close(self) -> None:
        """The rest of it is not wanted. The connection is kept only when nothing of it is left."""
        read = self._response.isclosed() or self._response.length == 0  # of the last byte it does not know that it was
        self._response.close()
        if not read:
            self._client.close()


def insist(once: Callable[[], T], tries: int, sleep: Callable[[float], None] = time.sleep) -> T:
    """Do it, and again after ever longer pauses when nobody answers; when the server says (Retry-After), then.

    Raises what the last try raised.
    """
    for tried in range(1, tries):
        try:
            return once()
        except Unreachable as e:
            asked = e.after if isinstance(e, Overloaded) else None
            pause = (asked or timedelta()).total_seconds() or FIRST_PAUSE * tried**2
            sleep(min(pause, LONGEST_PAUSE))
    return once()
