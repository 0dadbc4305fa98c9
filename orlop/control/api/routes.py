"""The table of routes: from it come the application, /openapi.json and docs/reference/control-api.md."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from orlop.control.api import fleet_v1, locks, machines, people, stream, units, work
from orlop.control.api.asked import Answer, Control, endpoint, json_response, problem_response
from orlop.control.problems import ApiProblem
from orlop.model.cluster.access import RIGHTS, Right

MACHINE = "{machine:str}"
UNIT = "{unit:str}"


@dataclass(frozen=True)
class ApiRoute:
    """`right`: None for everybody. `body` and `query`: what may be said, each with its meaning."""

    method: str
    path: str
    right: Right | None
    answer: Answer
    body: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    success: int = 200

    @property
    def summary(self) -> str:
        return " ".join((self.answer.__doc__ or "").split())


_PAGE = (("limit", "at most so many, up to 500"), ("continue", "what the page before said"))
_FLEET_LOCK = (
    ("client_params", "an object: `id`, the machine's name; `group`, its role's unless given; `etcd`, the version that "
                      "it is about to start"),
)  # fmt: skip
ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute("GET", "/v1/whoami", None, people.who_am_i),
    ApiRoute("GET", "/v1/ca", None, people.authority),
    ApiRoute("POST", "/v1/join", None, machines.join, (
        ("token", "a join token"), ("machine", "its name: 32 hexadecimal digits"), ("host", "its host name"),
        ("public_key", "of P-256, in PEM"),
    )),
    ApiRoute("GET", "/v1/machines", Right.SEE_MACHINES, machines.listed,
             query=(*_PAGE, ("role", "server or worker"), ("verdict", "good, bad, waiting, away, new or doubled"),
                    ("cordoned", "yes or no"), ("host", "its host name"))),
    ApiRoute("GET", f"/v1/machines/{MACHINE}", Right.SEE_MACHINES, machines.shown),
    ApiRoute("PUT", f"/v1/machines/{MACHINE}/cordon", Right.CORDON, machines.cordon,
             (("reason", "why; empty: it gets work again"),)),
    ApiRoute("DELETE", f"/v1/machines/{MACHINE}", Right.EXPEL, machines.expel,
             query=(("reason", "why"),), success=204),
    ApiRoute("PUT", f"/v1/machines/{MACHINE}/report", Right.REPORT, machines.report, (
        ("schema", "1"), ("machine", "its name"), ("boot", "the kernel's id of this boot"),
        ("version", "of the system"), ("verdict", "good, bad or waiting"), ("reason", "of the verdict"),
        ("addresses", "a list of its addresses"), ("at", "when it says so"),
    ), success=204),
    ApiRoute("POST", f"/v1/machines/{MACHINE}/certificate", Right.RENEW, machines.renew,
             (("public_key", "the one it joined with"),)),
    ApiRoute("POST", "/v1/pre-reboot", Right.TAKE_LOCK, locks.pre_reboot, _FLEET_LOCK),
    ApiRoute("POST", "/v1/steady-state", Right.TAKE_LOCK, locks.steady_state, _FLEET_LOCK),
    ApiRoute("GET", "/v1/locks", Right.SEE_MACHINES, locks.listed),
    ApiRoute("DELETE", f"/v1/locks/{MACHINE}", Right.SET_LOCKS, locks.release, query=(("reason", "why"),), success=204),
    ApiRoute("PUT", "/v1/lock-groups/{group:str}", Right.SET_LOCKS, locks.set_slots,
             (("slots", "how many"), ("reason", "for the audit log")), success=204),
    ApiRoute("PUT", f"/v1/machines/{MACHINE}/drain", Right.CORDON, work.drain,
             (("reason", "why; empty: it may have units again"),)),
    ApiRoute("PUT", f"/v1/machines/{MACHINE}/offer", Right.WORK, work.offer, (
        ("schema", "1"), ("metadata", "an object of texts"), ("cpu", "thousandths of a core"), ("memory", "bytes"),
        ("resources", "an object of counts"),
    ), success=204),
    ApiRoute("GET", f"/v1/machines/{MACHINE}/work", Right.WORK, work.work,
             query=(("after", "a revision: nothing older is answered"),)),
    ApiRoute("PUT", f"/v1/machines/{MACHINE}/states", Right.WORK, work.states,
             (("schema", "1"), ("units", "of each: load, active, sub, hash, epoch, why, restarts, target"))),
    ApiRoute("GET", "/v1/fleet", Right.SEE_UNITS, work.fleet),
    ApiRoute("GET", "/v1/units", Right.SEE_UNITS, units.listed, query=(
        ("limit", "at most so many, up to 1000"), ("continue", "what the page before said"),
        ("name", "a pattern of names"), ("target", "inactive, loaded or launched"), ("state", "the same, as it is"),
        ("machine", "a machine that has some of it"),
    )),
    ApiRoute("GET", f"/v1/units/{UNIT}", Right.SEE_UNITS, units.shown),
    ApiRoute("PUT", f"/v1/units/{UNIT}", Right.CHANGE_UNITS, units.put, (
        ("text", "the unit's file"), ("target", "inactive, loaded or launched"),
        ("lenient", "true for a tool that expects what fleet ignored to be ignored"),
    )),
    ApiRoute("DELETE", f"/v1/units/{UNIT}", Right.CHANGE_UNITS, units.destroy, success=204),
    ApiRoute("PUT", f"/v1/units/{UNIT}/target", Right.CHANGE_UNITS, units.aim,
             (("target", "inactive, loaded or launched"),)),
    ApiRoute("POST", f"/v1/units/{UNIT}/restart", Right.CHANGE_UNITS, units.restart),
    ApiRoute("GET", f"/v1/units/{UNIT}/explain", Right.SEE_UNITS, units.explain),
    ApiRoute("POST", "/v1/tokens", Right.MAKE_TOKENS, people.join_token_made,
             (("hours", "how long it lets machines in, 24 unless given"), ("reason", "for the audit log")),
             success=201),
    ApiRoute("DELETE", "/v1/tokens/{token:str}", Right.MAKE_TOKENS, people.join_token_revoked,
             query=(("reason", "why"),), success=204),
    ApiRoute("POST", "/v1/people", Right.MAKE_TOKENS, people.person_made,
             (("name", "whose it is"), ("access", "viewer, operator, admin or auditor"), ("hours", "for how long")),
             success=201),
    ApiRoute("GET", "/v1/audit", Right.SEE_AUDIT, people.audited, query=_PAGE),
)  # fmt: skip
STREAMS = (
    ("/v1/watch/machines", Right.SEE_MACHINES, stream.all_machines, "Changes of all machines' records as they come."),
    (
        f"/v1/watch/machines/{MACHINE}",
        Right.WATCH_OWN,
        stream.own,
        "Changes of a machine's own record and work as they come; as long as it lasts the machine counts as there.",
    ),
    ("/v1/watch/units", Right.SEE_UNITS, stream.all_units, "Changes of units, of work and of states as they come."),
)


def application(control: Control) -> ASGIApp:
    """Streams, and beside them what Starlette routes: one that it led to would keep all its frames and wrappers for as
    long as the stream lasts, and there are a thousand.
    """
    watches = [(_pattern(path), stream.Stream(control, right, wants)) for path, right, wants, _ in STREAMS]
    others = _routed(control, [StarletteRoute(path, _no_stream, methods=["GET"]) for path, _, _, _ in STREAMS])

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        for pattern, watch in watches:
            found = pattern.fullmatch(scope["path"])
            if found is not None and scope["method"] == "GET":
                scope["path_params"] = found.groupdict()
                return watch(scope, receive, send)
        return others(scope, receive, send)

    return app


def _pattern(path: str) -> re.Pattern[str]:
    """Of a route's path, as Starlette reads it: a parameter is anything without a slash."""
    return re.compile(re.sub(r"\\\{([a-z]+):str\\\}", r"(?P<\1>[^/]+)", re.escape(path)))


async def _no_stream(request: Request) -> Response:
    """So that another method than GET is answered as such."""
    return await _not_found(request, KeyError())


def _routed(control: Control, streams: Sequence[BaseRoute]) -> Starlette:
    routes: list[BaseRoute] = [*streams]
    paths = dict.fromkeys(route.path for route in ROUTES)
    for path in paths:
        routes += [
            StarletteRoute(path, endpoint(control, route.right, route.answer), methods=[route.method])
            for route in ROUTES
            if route.path == path
        ]
    routes += fleet_v1.routes(control)
    described = openapi()

    async def described_answer(_: Request) -> Response:
        return json_response(described)

    routes.append(StarletteRoute("/openapi.json", described_answer, methods=["GET"]))
    return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_allowed})


async def _not_found(request: Request, _: Exception) -> Response:
    return problem_response(ApiProblem(404, f"there is no {request.url.path} here", "/openapi.json says what there is"))


async def _not_allowed(request: Request, _: Exception) -> Response:
    return problem_response(ApiProblem(405, f"{request.url.path} does not take {request.method}"))


def openapi() -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        about: dict[str, Any] = {
            "summary": route.summary,
            "description": _for_whom(route.right),
            "parameters": [*_in_path(route.path), *(_in_query(name, meaning) for name, meaning in route.query)],
            "responses": {
                str(route.success): {"description": "done"},
                "default": {"description": "a problem (RFC 9457)"},
            },
        }
        if route.body:
            properties = {name: {"description": meaning} for name, meaning in route.body}
            about["requestBody"] = {
                "content": {"application/json": {"schema": {"type": "object", "properties": properties}}}
            }
        paths.setdefault(_plain(route.path), {})[route.method.lower()] = about
    for path, right, _, summary in STREAMS:
        paths[_plain(path)] = {
            "get": {
                "summary": summary,
                "description": _for_whom(right),
                "parameters": _in_path(path),
                "responses": {"200": {"description": "server-sent events", "content": {"text/event-stream": {}}}},
            }
        }
    return {"openapi": "3.1.0", "info": {"title": "Orlop control API", "version": "1"}, "paths": paths}


def _for_whom(right: Right | None) -> str:
    return "For everybody." if right is None else f"For {', '.join(sorted(RIGHTS[right]))}."


def _plain(path: str) -> str:
    return path.replace(":str}", "}")


def _in_query(name: str, meaning: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}


def _in_path(path: str) -> Sequence[dict[str, Any]]:
    names = [part[1:-1] for part in _plain(path).split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
