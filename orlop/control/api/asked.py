"""One request on its way to a route: bounded, known who asks, allowed, answered within its time.

size → caller → right → a place (of all, of this caller) → the route, within its deadline → JSON or a problem
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from orlop.control import callers, problems
from orlop.control.hub import Hub
from orlop.control.joining import JoinAuthority
from orlop.control.locks import RebootLocks
from orlop.control.problems import ApiProblem
from orlop.control.provider import OidcProvider
from orlop.control.records import Deed, Records
from orlop.control.scheduler.presence import Presence
from orlop.control.scheduler.view import FleetView
from orlop.errors import BadInput, NotAllowed, OrlopError
from orlop.model.cluster.access import Caller, Right, refusal
from orlop.model.words.strict import Fields, parse_json
from orlop.store.protocol import Store, StoreError

LARGEST_BODY = 64 << 10
DEADLINE_SECONDS = 15.0
IN_FLIGHT = 64  # of all, the streams not counted: each holds a connection's 60 KB while it waits for the store
IN_FLIGHT_EACH = 8  # of one caller, so that none takes the place of all others
log = logging.getLogger("orlop.control")


@dataclass
class Control:
    """What all routes share. `clock`: what time it is. `server`: what this server is called."""

    store: Store
    hub: Hub
    records: Records
    locks: RebootLocks
    authority: JoinAuthority
    clock: Callable[[], datetime]
    server: str
    cluster: str
    provider: OidcProvider | None = None
    in_flight: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    presence: Presence | None = None
    fleet: FleetView = field(init=False)

    def __post_init__(self) -> None:
        self.fleet = FleetView(self.hub)


@dataclass(frozen=True)
class Asked:
    """`caller` is None for nobody; a route with a right never sees that. `now`: one moment for all of the request."""

    control: Control
    request: Request
    caller: Caller | None
    now: datetime
    body: bytes

    @property
    def where(self) -> str:
        return self.request.client.host if self.request.client else "?"

    @property
    def machine(self) -> str:
        return str(self.request.path_params.get("machine", ""))

    def deed(self, what: str) -> Deed:
        assert self.caller is not None
        return Deed(self.caller, what, self.where)

    def fields(self) -> Fields:
        """The body. Raises BadInput."""
        return Fields.of("the body", parse_json(self.body, LARGEST_BODY))

    def number(self, name: str, default: int, most: int) -> int:
        """A query parameter. Raises BadInput."""
        text = self.request.query_params.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not 0 <= int(text[:12]) <= most:
            raise BadInput(f"{name} must be a whole number from 0 to {most}, not {text[:40]!r}")
        return int(text)


Answer = Callable[[Asked], Awaitable[Response]]


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, media_type="application/json")


def problem_response(problem: ApiProblem) -> Response:
    return Response(problem.body, problem.status, problem.headers, media_type=problems.CONTENT_TYPE)


def endpoint(
    control: Control, right: Right | None, answer: Answer, say: Callable[[ApiProblem], Response] = problem_response
) -> Callable[[Request], Awaitable[Response]]:
    """What Starlette calls. Never raises; a defect is answered with 500, and its traceback goes to the journal.

    `say`: how a problem is told.
    """

    async def asked(request: Request) -> Response:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                caller = await who(control, request)
                await allow(control, request, caller, right)
                async with _place(control, caller, request), _failures_noted(control, caller, request, right):
                    body = await _body(request)
                    return await answer(Asked(control, request, caller, control.clock(), body))
        except ApiProblem as e:
            return say(e)
        except OrlopError as e:
            return say(problems.of(e))
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody hears
        except TimeoutError:
            return say(
                ApiProblem(504, f"it took longer than {DEADLINE_SECONDS:.0f} s", "try again", {"Retry-After": "5"})
            )
        except Exception:  # a request's top: one defect must not end the others
            log.exception("%s %s", request.method, request.url.path)
            return say(ApiProblem(500, "a defect of the control plane", "its journal has the traceback"))

    return asked


async def who(control: Control, request: Request) -> Caller | None:
    """Raises ApiProblem for a token that is not known."""
    caller = callers.of_certificate(request.scope.get("state", {}).get("peer"))
    if caller is None and (authorization := request.headers.get("authorization")):
        caller = await callers.of_bearer(control.store, control.provider, authorization, control.clock())
    return caller


async def allow(control: Control, request: Request, caller: Caller | None, right: Right | None) -> None:
    """Raises ApiProblem. What a known caller may not do is in the audit log."""
    if caller is not None and (why := callers.expelled(control.hub, caller)):
        raise ApiProblem(403, why, "it comes back with a new token and a new key")
    if right is None:
        return
    # a path without a machine is about the one who asks
    why = refusal(caller, right, str(request.path_params.get("machine", caller.name if caller else "")))
    if not why:
        return
    if caller is None:
        raise ApiProblem(401, why, "", {"WWW-Authenticate": "Bearer"})
    where = request.client.host if request.client else "?"
    deed = Deed(caller, f"{request.method} {request.url.path}", where)
    await control.records.note(deed, f"refused: {why}", control.clock())
    raise problems.of(NotAllowed(why))


@asynccontextmanager
async def _failures_noted(
    control: Control, caller: Caller | None, request: Request, right: Right | None
) -> AsyncIterator[None]:
    """What a known caller wanted to change and could not is in the audit log, as what was done is. Reports are not: a
    machine makes two a minute. Joining notes its own, since who asks is known only when the token is read.
    """
    try:
        yield
    except OrlopError as e:
        if caller is not None and request.method != "GET" and right not in {None, Right.REPORT, Right.WORK}:
            where = request.client.host if request.client else "?"
            deed = Deed(caller, f"{request.method} {request.url.path}", where)
            with suppress(StoreError):  # it may be the store that has failed
                await control.records.note(deed, f"failed: {e.message}", control.clock())
        raise


@asynccontextmanager
async def _place(control: Control, caller: Caller | None, request: Request) -> AsyncIterator[None]:
    name = caller.called if caller else f"nobody at {request.client.host if request.client else '?'}"
    taken = control.in_flight
    if taken.total() >= IN_FLIGHT:
        raise ApiProblem(
            503, "too many requests are on their way", "try again", {"Retry-After": "2", "Connection": "close"}
        )
    if taken[name] >= IN_FLIGHT_EACH:
        raise ApiProblem(
            429, f"{name} has {IN_FLIGHT_EACH} requests on their way", "wait for one", {"Retry-After": "1"}
        )
    taken[name] += 1
    try:
        yield
    finally:
        taken[name] -= 1
        if not taken[name]:
            del taken[name]


async def _body(request: Request) -> bytes:
    """Read no more than is allowed, whatever the length says."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > LARGEST_BODY:
            raise ApiProblem(413, f"the body has more than {LARGEST_BODY} bytes")
        pieces.append(piece)
    return b"".join(pieces)
