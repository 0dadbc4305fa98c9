"""What people are given and what they did: join tokens, bearer tokens, the audit log."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from orlop.control.api.asked import Asked, json_response
from orlop.errors import BadInput
from orlop.model.cluster import token as join_token
from orlop.model.cluster.access import PEOPLE as PEOPLE_ROLES
from orlop.model.cluster.certificates import TOKEN_LIFE
from orlop.model.cluster.names import Role
from orlop.model.words.strict import stamp

MOST_HOURS = 24 * 365
MOST = 500


async def join_token_made(asked: Asked) -> Response:
    """A new join token for workers. It is shown once."""
    f = asked.fields()
    f.only("hours", "reason")
    life = timedelta(hours=f.number("hours", 1, MOST_HOURS)) if f.has("hours") else TOKEN_LIFE
    reason = f.line("reason", 200, empty=True) if f.has("reason") else ""
    authority = asked.control.authority
    made = join_token.make(Role.WORKER, asked.now + life, authority.certificate, authority.key)
    await asked.control.records.note(asked.deed(f"make join token {made.id}: {reason}"), "done", asked.now)
    return json_response({"token": str(made), "id": made.id, "ends": stamp(made.ends)}, 201)


async def join_token_revoked(asked: Asked) -> Response:
    """Take a join token back, by its id."""
    ident = str(asked.request.path_params["token"])
    if len(ident) != 16 or not set(ident) <= set("0123456789abcdef"):
        raise BadInput("the id of a join token must be 16 hexadecimal digits", hint="it is the token's fifth part")
    reason = asked.request.query_params.get("reason", "") or "no reason was given"
    if len(reason) > 200 or not reason.isprintable():
        raise BadInput("reason must be a line of at most 200 characters")
    ends = asked.now + timedelta(hours=MOST_HOURS)  # none lives longer, and its own end is not known here
    await asked.control.records.revoke(ident, reason, ends, asked.deed(f"revoke join token {ident}"), asked.now)
    return Response(status_code=204)


async def person_made(asked: Asked) -> Response:
    """A bearer token for a person or a tool, with one role. It is shown once; the store has only its hash."""
    f = asked.fields()
    f.only("name", "access", "hours")
    access, name = f.choice("access", *PEOPLE_ROLES), f.line("name", 64)
    life = timedelta(hours=f.number("hours", 1, MOST_HOURS))
    token, ends = secrets.token_urlsafe(32), asked.now + life
    person: dict[str, Any] = {"name": name, "access": access, "ends": stamp(ends)}
    deed = asked.deed(f"make a bearer token for {name} as {access}")
    digest = hashlib.sha256(token.encode()).hexdigest()
    await asked.control.records.person(digest, person, life, deed, asked.now)
    return json_response({"token": token, **person}, 201)


async def audited(asked: Asked) -> Response:
    """A page of the audit log, oldest first."""
    limit = asked.number("limit", 100, MOST) or MOST
    after = asked.request.query_params.get("continue", "")
    if len(after) > 64 or not after.isascii():
        raise BadInput("continue must be what the page before it said", hint="begin again without it")
    entries, more = await asked.control.records.audit(after=after, limit=limit)
    return json_response({"entries": entries} | ({"continue": more} if more else {}))


async def authority(asked: Asked) -> Response:
    """The certificate of the cluster's CA. Who asks has no reason yet to believe it: a join token has its hash."""
    return json_response({"ca": asked.control.authority.pem})


async def who_am_i(asked: Asked) -> Response:
    """What the caller is to this cluster."""
    caller = asked.caller
    known = {"access": caller.access, "name": caller.name, "via": caller.via} if caller else None
    about = {"cluster": asked.control.cluster, "server": asked.control.server, "time": stamp(asked.now)}
    return json_response(about | {"caller": known})
