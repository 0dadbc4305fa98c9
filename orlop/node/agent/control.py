"""The control API, at whichever server answers: asked with deadlines, another server next when one is silent.

How the CA is known before there is a certificate: it is asked for over a connection that is not believed yet, and taken
only when it has the hash that the token names. From then on no connection is made that does not believe it.
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

from orlop.errors import BadInput, NotAllowed, OrlopError
from orlop.model.cluster.certificates import BACKDATED
from orlop.model.cluster.names import url
from orlop.model.cluster.token import Token, der, fingerprint
from orlop.model.words.line import line
from orlop.model.words.strict import Fields
from orlop.net.dial import Patience
from orlop.net.errors import Lying, Unreachable
from orlop.net.exchange import Client, Reply

SECONDS = 10.0
SILENCE_SECONDS = 25.0  # of a stream: two and a half times what the server says something after
LARGEST = 1 << 17
LARGEST_WORK = 32 << 20  # all texts of a machine's units
LARGEST_LINE = 1 << 20
# as OpenSSL says it of a certificate, at either end
_TIMES = ("certificate is not yet valid", "certificate has expired", "certificate expired")


class RefusedByCluster(NotAllowed):
    """The cluster does not want this machine, or not so: asking again changes nothing."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ControlClient:
    """`servers`: where they are; of a deque that the caller keeps, the first is always the one that answered last.
    `context`: whom to believe and what to show.
    """

    def __init__(self, servers: Iterable[str], port: int, context: ssl.SSLContext) -> None:
        self._servers = servers if isinstance(servers, deque) else deque(servers)
        self._port, self._context = port, context

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        most: int = LARGEST,
    ) -> Any:
        """The answer, of at most so many bytes.

        Raises RefusedByCluster, BadInput (what was asked is wrong), Unreachable: no server answers.
        """
        why: OrlopError | None = None
        for _ in range(len(self._servers)):
            try:
                return self._ask(method, path, body, headers or {}, most)
            except (Unreachable, Lying) as e:
                why = e
                self._servers.rotate(-1)
        raise why or Unreachable("no server of the cluster is known")

    def _ask(self, method: str, path: str, body: Any, headers: Mapping[str, str], most: int) -> Any:
        raw = None if body is None else json.dumps(body).encode()
        # a connection for each: one that is kept costs the server 60 KB, and reports are half a minute apart
        with self._client(SECONDS, SECONDS) as client:
            reply = client.ask(self._url(path), method=method, headers={"Connection": "close", **headers}, body=raw)
            return _answer(reply, most)

    @contextmanager
    def stream(self, path: str, last: str) -> Iterator[Iterator[bytes]]:
        """The lines of a stream that does not end by itself. Raises RefusedByCluster, Unreachable."""
        with self._client(None, SILENCE_SECONDS) as client:
            try:
                reply = client.ask(self._url(path), headers={"Last-Event-ID": last} if last else {})
                if reply.status != 200:
                    _answer(reply)
                yield _lines(reply)
            except Unreachable:
                self._servers.rotate(-1)
                raise

    @contextmanager
    def _client(self, seconds: float | None, silence: float) -> Iterator[Client]:
        who = f"the control API on {self._servers[0]}"
        patience = Patience(seconds, silence, probes=seconds is None)
        with closing(Client(patience, who, redirects=0, direct=True, context=self._context)) as client:
            yield client

    def _url(self, path: str) -> str:
        return url(self._servers[0], self._port) + path


def trusted_ca(servers: Iterable[str], port: int, token: Token) -> str:
    """The CA's certificate that the token means, in PEM. Raises Unreachable; RefusedByCluster when another is shown."""
    # what comes is compared with the token's hash
    answer = ControlClient(servers, port, _unproven()).ask("GET", "/v1/ca")
    ca = str(answer.get("ca") or "") if isinstance(answer, dict) else ""
    if fingerprint(der(ca)) != token.ca:
        raise RefusedByCluster(
            "the server shows a CA that is not the one of the token: it is of another cluster, or somebody in between",
            status=0,
            hint="see where `servers` of the configuration leads",
        )
    return ca


def clock_words(servers: Iterable[str], port: int, why: str, now: datetime) -> str:
    """What to say when a certificate is refused for its time: how far the clocks are apart. Empty when it is not that.

    It says the same as long as they are, so that it is said once. Nothing is believed: who answers may be anybody.
    """
    if not any(words in why for words in _TIMES):
        return ""
    try:
        answer = ControlClient(servers, port, _unproven()).ask("GET", "/v1/whoami")
        apart = now - Fields.of("it", answer).moment("time")
    except OrlopError:
        return f"a certificate is not valid now, and the server does not say what time it is there: {why}"
    if abs(apart) < BACKDATED:
        return ""
    side = "behind" if apart < timedelta(0) else "ahead of"
    return (
        f"this machine's clock is {_long(abs(apart))} {side} the server's, and a certificate is not valid at both: "
        "one of the clocks is wrong; this machine goes on by itself when they agree"
    )


def _long(apart: timedelta) -> str:
    """So roughly that it stays the same while they are apart."""
    for seconds, unit in ((365 * 86400, "year"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if (count := round(apart.total_seconds() / seconds)) >= 1:
            return f"about {count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _unproven() -> ssl.SSLContext:
    """Speaks to anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _answer(reply: Reply, most: int = LARGEST) -> Any:
    raw = reply.whole(most)
    if reply.status == 204:
        return None
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        raise Unreachable(f"the control API answers {reply.status} with something else than JSON") from None
    if reply.status < 300:
        return answer
    about = answer if isinstance(answer, dict) else {}
    said = line(str(about.get("detail") or f"it answers {reply.status}"), 500)
    hint = line(str(about.get("hint") or ""), 300)
    if reply.status in {401, 403, 404, 409}:
        raise RefusedByCluster(said, status=reply.status, hint=hint)
    if reply.status >= 500 or reply.status == 429:
        raise Unreachable(f"the control API: {said}", hint=hint)
    raise BadInput(said, hint=hint)


def _lines(reply: Reply) -> Iterator[bytes]:
    rest = b""
    while piece := reply.read(1 << 14):
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LARGEST_LINE:
            raise Unreachable("the control API sends a line without an end")
        yield from lines
