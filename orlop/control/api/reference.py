"""docs/protocol/control-api.md, from the tables of routes and of rights: `python -m orlop.control.api.reference`."""

from __future__ import annotations

import sys

from orlop.control.api.asked import DEADLINE_SECONDS, IN_FLIGHT_EACH, LARGEST_BODY
from orlop.control.api.routes import ROUTES, STREAMS
from orlop.control.api.stream import ALIVE_SECONDS, STREAMS_EACH
from orlop.control.connections import HEAD_SECONDS, MOST, MOST_OF_ONE
from orlop.model.cluster.access import RIGHTS, Access, Right
from orlop.model.cluster.names import CONTROL_PORT

_HEAD = f"""\
# The control API

HTTPS on port {CONTROL_PORT} of every server of a cluster, TLS 1.3. All servers answer alike: what they know is in the
cluster's store. Made from the tables in `orlop/control/api/routes.py` and `orlop/model/cluster/access.py`; do not edit.

Who asks is known by a client certificate of the cluster's CA (`O=orlop:ROLE`, `CN=NAME`) or by a bearer token: one of
the cluster's own, or an ID token of the provider in `cluster.oidc`. A machine may ask for what is its own, and for
nothing else. `GET /openapi.json` describes all of this for tools.

- What is refused is answered as RFC 9457 says, with `detail` and, where there is something to do, `hint`.
- A body has at most {LARGEST_BODY >> 10} KiB, and an answer comes within {DEADLINE_SECONDS:.0f} s.
- A caller has at most {IN_FLIGHT_EACH} requests on their way and {STREAMS_EACH} streams open (429). 503 says with
  `Retry-After` when to ask again.
- At most {MOST} connections are open, {MOST_OF_ONE} of one address; those that are too many are closed at once. One
  that has not sent a whole request within {HEAD_SECONDS:.0f} s is closed.
- 409 as the answer to a report: another machine with the same identity runs, and this one is taken for its copy.
- `GET /v1/machines/MACHINE` gives an `ETag`, which a change takes as `If-Match`: 412 when somebody else was quicker.
- `POST /v1/pre-reboot` and `/v1/steady-state` are FleetLock's: they take the header `fleet-lock-protocol: true`, and
  what is refused has `kind` and `value` too: 409 with `slots_taken`, `quorum_at_risk` or `etcd_upgrade_order`.
- Lists come in pages: `continue` of one is given to the next, and all are as of the first. 410: that was too long ago.
"""
_STREAM = f"""
## Streams

Server-sent events. The first is `state`, with all keys; then `put` and `gone` as they come; `bye` says why the stream
ends and `retry` when to come back. `id` is a revision: given back as `Last-Event-ID` nothing is missed or told twice.
A comment comes every {ALIVE_SECONDS:.0f} s.

| request | what | for |
|---|---|---|
"""


def markdown() -> str:
    rows = [
        f"| {right} | {' | '.join('✓' if access in RIGHTS[right] else '' for access in Access)} |" for right in Right
    ]
    rights = [
        "\n## Who may do what\n",
        f"| | {' | '.join(Access)} |",
        f"|---|{'---|' * len(Access)}",
        *rows,
        "",
        "A machine's rights are on its own things only. What one may not or could not do is in the audit log.",
    ]
    requests = ["\n## Requests\n", "| request | what | said with it | for |", "|---|---|---|---|"]
    for route in ROUTES:
        given = [f"`{name}`: {meaning}" for name, meaning in (*route.body, *route.query)]
        requests.append(
            f"| `{route.method} {_path(route.path)}` | {route.summary} | {'<br>'.join(given)} | {_for(route.right)} |"
        )
    streams = [f"| `GET {_path(path)}` | {summary} | {_for(right)} |" for path, right, _, summary in STREAMS]
    return _HEAD + "\n".join([*rights, *requests]) + "\n" + _STREAM + "\n".join(streams) + "\n"


def _path(path: str) -> str:
    for given, shown in (("machine", "MACHINE"), ("token", "ID"), ("group", "GROUP"), ("unit", "UNIT")):
        path = path.replace(f"{{{given}:str}}", shown)
    return path


def _for(right: Right | None) -> str:
    return "everybody" if right is None else ", ".join(access for access in Access if access in RIGHTS[right])


if __name__ == "__main__":
    sys.stdout.write(markdown())
