"""Changes as they come: server-sent events (WHATWG HTML, 9.2), on a plain ASGI coroutine.

    event: state      all keys at once: at the beginning, and whenever what was missed cannot be told
    event: put        a key is new or other        {"key": …, "value": …}
    event: gone       a key is there no more       {"key": …}
    event: bye        the stream ends, and why; `retry` says after how long to come back
    : alive           every few seconds, so that either side notices when the other is gone

`id` is the revision; a client that comes back says it in Last-Event-ID and misses nothing. Why not Starlette's
StreamingResponse: it costs two tasks and 18 KB more for each of a thousand streams; here a stream is one task.
Invariants: a stream ends when the caller's certificate or token does, or when the caller is expelled; one that does not
read is cut off, not waited for.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from orlop.control import problems
from orlop.control.api.asked import Control, allow, problem_response, who
from orlop.control.connections import Lost
from orlop.control.hub import Bye, Hub, Listener, Resync, Told, Word
from orlop.control.problems import ApiProblem
from orlop.errors import BadInput, OrlopError
from orlop.model.cluster.access import Caller, Right
from orlop.model.cluster.names import EXPELLED, MACHINES, SEEN, STATE, UNIT_RECORDS, WORK
from orlop.store.protocol import StoreEntry

ALIVE_SECONDS = 10.0
SEND_SECONDS = 20.0  # after which somebody who does not read is cut off
STREAMS_EACH = 16  # of one caller: a link that was cut leaves one open here until it is noticed
RETRY_MS = 1000
RETRY = {"Retry-After": "10"}
HUNG_UP = "the client has hung up"


class Stream:
    """An ASGI application. `right`: what it takes; `wants`: from a machine's name, which keys it is told of."""

    def __init__(self, control: Control, right: Right, wants: Callable[[str], Callable[[str], bool]]) -> None:
        self._control, self._right, self._wants = control, right, wants
        self._written: tuple[Word | None, bytes] = (None, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            caller = await who(self._control, request)
            await allow(self._control, request, caller, self._right)
            assert caller is not None
            last = _last(request.headers.get("last-event-id", ""))
        except ApiProblem as e:
            await problem_response(e)(scope, receive, send)
            return
        except OrlopError as e:
            await problem_response(problems.of(e))(scope, receive, send)
            return
        open_streams = self._control.streams
        if open_streams[caller.called] >= STREAMS_EACH:
            problem = ApiProblem(429, f"{caller.called} has {STREAMS_EACH} streams open", "end one", RETRY)
            await problem_response(problem)(scope, receive, send)
            return
        open_streams[caller.called] += 1
        try:
            await self._tell(request, caller, last, send)
        finally:
            open_streams[caller.called] -= 1
            if not open_streams[caller.called]:
                del open_streams[caller.called]

    async def _tell(self, request: Request, caller: Caller, last: int, send: Send) -> None:
        machine = str(request.path_params.get("machine", ""))
        peer = request.scope["state"]
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        presence = self._control.presence if self._right is Right.WATCH_OWN else None
        connected = presence.connected(machine, peer) if presence is not None else nullcontext()
        with self._control.hub.listening(self._wants(machine), last) as listener, connected:
            hung_up = partial(listener.end, HUNG_UP)
            lost: Lost = peer["lost"]
            lost.tell(hung_up)  # not by awaiting `receive`: that would take a second task for each of a thousand
            try:
                ends = [peer["until"], caller.until.timestamp() if caller.until else None]
                await self._words(listener, caller, min((e for e in ends if e is not None), default=None), send)
                await _send(send, b"", more=False)
            except TimeoutError:
                peer["abort"]()  # closing would wait for what it does not read
            except OSError:
                return  # the connection is gone
            finally:
                lost.forget(hung_up)

    async def _words(self, listener: Listener, caller: Caller, until: float | None, send: Send) -> None:
        """Until the stream has its end. Raises TimeoutError when the other end does not read."""
        while True:
            now = self._control.clock().timestamp()
            if until is not None and now >= until:
                return await _send(send, _said(Bye(f"your {caller.via} has ended")))
            pause = min(ALIVE_SECONDS, until - now) if until is not None else ALIVE_SECONDS
            word = await listener.next(max(pause, 0.0))
            if word is None:
                await _send(send, b": alive\n\n")
                continue
            if isinstance(word, Bye) and word.reason == HUNG_UP:
                return None
            await _send(send, self._text(word))
            if isinstance(word, Bye):
                return None
            if _is_out(word, caller):
                return await _send(send, _said(Bye("expelled")))

    def _text(self, word: Word) -> bytes:
        """A change that a thousand are told is the same object for all of them, and is written down once."""
        if self._written[0] is not word:
            self._written = (word, _said(word))
        return self._written[1]


def own(machine: str) -> Callable[[str], bool]:
    """A machine is told of its own record, of its work, and of its end."""
    keys, work = {MACHINES + machine, EXPELLED + machine}, f"{WORK}{machine}/"
    return lambda key: key in keys or key.startswith(work)


def all_machines(_: str) -> Callable[[str], bool]:
    return lambda key: key.startswith(MACHINES)


def all_units(_: str) -> Callable[[str], bool]:
    return lambda key: key.startswith((UNIT_RECORDS, WORK, SEEN))


def bye(hub: Hub) -> None:
    """End all streams: the server stops."""
    hub.end("this server stops")


def _is_out(word: Word, caller: Caller) -> bool:
    return isinstance(word, Told) and word.change.key == EXPELLED + caller.name and word.change.entry is not None


def _said(word: Word) -> bytes:
    match word:
        case Told(revision, change):
            about = {"key": change.key.removeprefix(STATE)}
            if change.entry is None:
                return _event("gone", revision, about)
            return _event("put", revision, about | {"value": _value(change.entry)})
        case Resync(revision, entries):
            keys = {entry.key.removeprefix(STATE): _value(entry) for entry in entries}
            return _event("state", revision, keys)
        case Bye(reason):
            # each comes back at a moment of its own
            retry = int(RETRY_MS * random.uniform(0.5, 2))  # noqa: S311
            return f"retry: {retry}\n".encode() + _event("bye", 0, {"reason": reason})


def _event(name: str, revision: int, data: Any) -> bytes:
    ident = f"id: {revision}\n" if revision else ""
    return f"event: {name}\n{ident}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _value(entry: StoreEntry) -> Any:
    return json.loads(entry.value)


async def _send(send: Send, piece: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def _last(header: str) -> int:
    """Raises BadInput."""
    if header and (not header.isascii() or not header.isdigit() or len(header) > 19):
        raise BadInput("Last-Event-ID must be an id that this stream gave")
    return int(header or 0)
