"""The store's own words about itself: what orlop-cluster asks etcd through its JSON gateway, typed.

Why not orlop.store: that is the store as programs use it, asynchronous and with watches; this is members of etcd, once
a second, in a program that must be small. How etcd puts things into JSON both have from orlop.store.etcd.wire.

Lifetime: one a turn. A request ends within SECONDS, whoever is silent: then another server is asked.
"""

from __future__ import annotations

import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from orlop.errors import Busy
from orlop.model.cluster.member import Member
from orlop.model.cluster.names import STORE_PORT, url
from orlop.net.dial import Patience
from orlop.net.errors import Unreachable
from orlop.net.exchange import Client
from orlop.store.etcd import wire

SECONDS = 1.0  # a server that does not answer within it is asked again in the next turn
_LARGEST = 1 << 20


class StoreRefused(Busy):
    """etcd said no, in its words."""


@dataclass(frozen=True)
class Membership:
    """Who is in the cluster that etcd calls by this number."""

    cluster: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class MemberSaid:
    """What a member says of itself. `leader`: 0 when it knows none; bytes of its database, all and in use."""

    member: int
    leader: int
    revision: int
    applied: int
    is_learner: bool
    bytes: int
    bytes_used: int
    troubles: tuple[str, ...]


@dataclass(frozen=True)
class Endpoint:
    """One server's etcd. `host`: an address or a name; its certificate is checked against it."""

    host: str
    context: ssl.SSLContext
    seconds: float = SECONDS
    port: int = STORE_PORT

    def members(self) -> Membership:
        """As a quorum has it. Raises Unreachable, StoreRefused."""
        answer = self._ask("cluster/member/list", {"linearizable": True})
        members = tuple(_member(member) for member in answer.get("members", ()))
        return Membership(wire.number(answer.get("header", {}), "cluster_id"), members)

    def add_learner(self, peer: str) -> None:
        """Raises Unreachable, StoreRefused."""
        self._ask("cluster/member/add", {"peerURLs": [peer], "isLearner": True})

    def promote(self, member: int) -> None:
        """Raises Unreachable, StoreRefused: it has not caught up."""
        self._ask("cluster/member/promote", {"ID": str(member)})

    def remove(self, member: int) -> None:
        """Raises Unreachable, StoreRefused."""
        self._ask("cluster/member/remove", {"ID": str(member)})

    def readdress(self, member: int, peer: str) -> None:
        """Raises Unreachable, StoreRefused."""
        self._ask("cluster/member/update", {"ID": str(member), "peerURLs": [peer]})

    def status(self) -> MemberSaid:
        """Raises Unreachable, StoreRefused."""
        answer = self._ask("maintenance/status", {})
        head = answer.get("header", {})
        return MemberSaid(
            member=wire.number(head, "member_id"),
            leader=wire.number(answer, "leader"),
            revision=wire.number(head, "revision"),
            applied=wire.number(answer, "raftAppliedIndex"),
            is_learner=bool(answer.get("isLearner", False)),
            bytes=wire.number(answer, "dbSize"),
            bytes_used=wire.number(answer, "dbSizeInUse"),
            troubles=tuple(str(e)[:200] for e in answer.get("errors", ())),
        )

    def get(self, key: str) -> str | None:
        """The text of a key. Raises Unreachable, StoreRefused."""
        entries = wire.entries(self._ask("kv/range", wire.range_one(key)))
        return entries[0].value.decode(errors="replace") if entries else None

    def below(self, prefix: str) -> dict[str, str]:
        """The texts of the keys that begin with `prefix`, without it; at most 1000. Raises as `get`."""
        body = {"key": wire.text(prefix), "range_end": wire.after_prefix(prefix), "limit": "1000"}
        entries = wire.entries(self._ask("kv/range", body))
        return {entry.key.removeprefix(prefix): entry.value.decode(errors="replace") for entry in entries}

    def put(self, key: str, value: str, *, seconds: int = 0) -> None:
        """`seconds`: of a lease; 0 for ever. Raises Unreachable, StoreRefused."""
        body = {"key": wire.text(key), "value": wire.data(value.encode())}
        if seconds:
            body["lease"] = self._ask("lease/grant", wire.lease_grant(seconds))["ID"]
        self._ask("kv/put", body)

    def _ask(self, what: str, body: wire.Json) -> dict[str, Any]:
        patience = Patience(self.seconds)
        with closing(
            Client(patience, f"etcd on {self.host}", redirects=0, direct=True, context=self.context)
        ) as client:
            reply = client.ask(f"{url(self.host, self.port)}/v3/{what}", method="POST", body=json.dumps(body).encode())
            raw = reply.whole(_LARGEST)
        try:
            answer = json.loads(raw)
            if reply.status == 200 and isinstance(answer, dict):
                return answer
            said = str(answer.get("message") or answer.get("error"))[:300]
        except (ValueError, AttributeError, RecursionError):
            raise Unreachable(f"etcd on {self.host} answers {reply.status} with something else than JSON") from None
        raise StoreRefused(f"etcd on {self.host} refuses: {said}")


def _member(of: dict[str, Any]) -> Member:
    peers = of.get("peerURLs", [])
    return Member(int(of["ID"]), of.get("name", ""), peers[0] if peers else "", bool(of.get("isLearner", False)))
