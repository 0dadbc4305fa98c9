"""Who asks: a machine or a person by the certificate of their connection, a person by a bearer token: one of this
cluster's, or one of its identity provider's.

A certificate says it in its subject, `O=orlop:ACCESS, CN=NAME`; who has none and no token is nobody. Nothing that a
request says in its body or its headers makes a caller, but the token. Machines that were expelled are refused here,
before any route.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orlop.control.hub import Hub
from orlop.control.problems import ApiProblem
from orlop.control.provider import OidcProvider
from orlop.errors import BadInput, NotAllowed
from orlop.model.cluster.access import PEOPLE as PEOPLE_ROLES
from orlop.model.cluster.access import Access, Caller
from orlop.model.cluster.names import EXPELLED, PEOPLE, Role
from orlop.model.cluster.oidc import is_token
from orlop.store.protocol import Store

LONGEST_TOKEN = 200  # characters
ASK = {"WWW-Authenticate": "Bearer"}


def of_certificate(certificate: Mapping[str, Any] | None) -> Caller | None:
    """From what `ssl` says of a peer's certificate, which it has verified. None when there is none, or not ours."""
    if not certificate:
        return None
    names = {name: value for part in certificate.get("subject") or () for name, value in part}
    kind, _, access = str(names.get("organizationName") or "").partition(":")
    name = str(names.get("commonName") or "")
    if kind != "orlop" or not name:
        return None
    if access in set(Role):
        return Caller(Access.MACHINE, name, "certificate")
    if access in set(PEOPLE_ROLES):
        return Caller(Access(access), name, "certificate")
    return None


async def of_bearer(store: Store, provider: OidcProvider | None, authorization: str, now: datetime) -> Caller:
    """Of a token of ours, or of the identity provider's. Raises ApiProblem: one that is not good is refused, not taken
    for nobody's. Raises Unavailable when that cannot be told now.
    """
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and provider is not None and is_token(token):
        try:
            return await provider.caller(token, now)
        except (BadInput, NotAllowed) as e:
            raise ApiProblem(
                401, f"the token of the identity provider is not taken: {e.message}", e.hint, ASK
            ) from None
    entry = None
    if scheme.lower() == "bearer" and 0 < len(token) <= LONGEST_TOKEN:
        entry = await store.get(PEOPLE + hashlib.sha256(token.encode()).hexdigest())
    if entry is None:
        raise ApiProblem(401, "the bearer token is not known here, or has ended", "an admin makes one: POST /v1/people",
                      ASK)  # fmt: skip
    person = json.loads(entry.value)
    ends = datetime.fromisoformat(person["ends"])
    if ends <= now:
        raise ApiProblem(401, f"the bearer token ended at {person['ends']}", "", ASK)
    return Caller(Access(person["access"]), person["name"], "bearer token", ends)


def expelled(hub: Hub, caller: Caller) -> str:
    """Why this machine is not let in any more; empty when it is."""
    entry = hub.get(EXPELLED + caller.name) if caller.access is Access.MACHINE else None
    return f"machine {caller.name} was expelled: {json.loads(entry.value)['reason']}" if entry else ""
