"""Connections of the control API: how many there may be, who is at the other end, and that each comes to the point.

How a peer's certificate reaches the application: the protocol puts what it says into the connection's state when TLS is
up, and uvicorn copies that state into the scope of each request. No header can forge it.

Invariants: there are never more connections than the memory of the unit carries (some 75 KB each), and no address takes
all of them; one that is too many is closed before any TLS is spoken. One that has not made a request within
`HEAD_SECONDS`, or sends it a byte at a time, is ended: uvicorn bounds only the time between two requests.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

MOST = 2048  # connections: 32 MB for the process and 75 KB each are 186 MB of the unit's 256
MOST_OF_ONE = 1536  # of one address: machines may share one, and others still get in
HEAD_SECONDS = 10.0
SAY_SECONDS = 10.0  # between two lines in the journal about connections that are too many
log = logging.getLogger("orlop.control")


class Lost:
    """The end of a connection: who waits for it is told, and who asks too late is told at once."""

    __slots__ = ("_over", "_whom")

    def __init__(self) -> None:
        self._over, self._whom = False, set[Callable[[], None]]()

    def tell(self, whom: Callable[[], None]) -> None:
        if self._over:
            whom()
        else:
            self._whom.add(whom)

    def forget(self, whom: Callable[[], None]) -> None:
        self._whom.discard(whom)

    def happened(self) -> None:
        self._over = True
        for whom in self._whom:
            whom()
        self._whom.clear()


class PeerProtocol(H11Protocol):
    """Knows who is at the other end, says when they are gone, and can cut the connection off."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("peercert") or None
        until = ssl.cert_time_to_seconds(peer["notAfter"]) if peer else None
        self._lost = Lost()
        self._ended: list[Exception] = []  # why, when it was not closed
        self.app_state: dict[str, Any] = {
            **self.app_state,
            "peer": {"subject": peer["subject"]} if peer else None,
            "until": until,
            "abort": transport.abort,
            "lost": self._lost,
            "socket": transport.get_extra_info("socket"),
            "ended": self._ended,
        }
        self._bound()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._bound()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        if exc is not None:
            self._ended.append(exc)
        super().connection_lost(exc)
        self._lost.happened()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:  # answered before all of the request was there
            self._bound()

    def _bound(self) -> None:
        """While nothing is done for this connection it has HEAD_SECONDS to send the rest of what it has begun."""
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn says that there is one from the first byte on
        is_served = cycle is not None and not cycle.response_complete
        is_waited_for = not is_served and self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if not is_waited_for:
            if self._late is not None:
                self._late.cancel()
            self._late = None
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)


class CountedListener(socket.socket):
    """A listening socket that gives away no more connections than there may be, and closes those that are too many.

    Why a socket: only here is a connection seen before its handshake, and asyncio takes any socket. What it accepts
    counts itself out when it is closed, by whomever.
    """

    def __init__(self, *args: Any, most: int = MOST, most_of_one: int = MOST_OF_ONE, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most, self._most_of_one = most, most_of_one
        self._of: Counter[str] = Counter()
        self._shed, self._said = 0, 0.0

    @property
    def count(self) -> int:
        return self._of.total()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next one that there is room for. Raises BlockingIOError when there is none."""
        while True:
            fd, address = self._accept()  # type: ignore[attr-defined]
            who = str(address[0])
            if self.count < self._most and self._of[who] < self._most_of_one:
                self._of[who] += 1
                return _Counted(self._of, who, self.family, self.type, self.proto, fileno=fd), address
            with socket.socket(self.family, self.type, self.proto, fileno=fd) as refused:
                # closed by a reset: nothing of it stays here, not even for the minute that an orderly end takes
                refused.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._say(who)

    def _say(self, who: str) -> None:
        self._shed += 1
        now = time.monotonic()
        if now - self._said >= SAY_SECONDS:
            log.warning("%d connections are open, %d of %s: %d that were too many have been closed",
                        self.count, self._of[who], who, self._shed)  # fmt: skip
            self._said, self._shed = now, 0


class _Counted(socket.socket):
    def __init__(self, counted: Counter[str], who: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counted, self._who = counted, who

    def close(self) -> None:
        if self._who:
            self._counted[self._who] -= 1
            if not self._counted[self._who]:
                del self._counted[self._who]  # an address that was here once is not remembered
            self._who = ""
        super().close()
