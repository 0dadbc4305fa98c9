"""The store's own words about itself: what orlop-cluster asks etcd through its JSON gateway, typed.

Why not orlop.store: that is the store as programs use it, asynchronous and with watches; this is members of etcd, once
a second, in a program that must be small. How etcd puts things into JSON both have from orlop.store.etcd.wire.

Lifetime: one a turn. A request ends within SECONDS, whoever is silent: then another server is asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any

from orlop.errors import Busy
from orlop.model.cluster.member import Member, StoreAlarm
from orlop.model.cluster.names import STORE_PORT, url
from orlop.net.dial import Patience
from orlop.net.errors import Unreachable
from orlop.net.exchange import Client
from orlop.store.etcd import wire

SECONDS = 1.0  # a server that does not answer within it is asked again in the next turn
LONG_SECONDS = 100.0  # for what goes through all of a database; shorter than the watchdog of orlop-cluster.service
SILENCE = 30.0  # of a snapshot on its way; all of it may take as long as it takes
_LARGEST = 1 << 20
_HASH_BYTES = 32
_DATE = ":date"  # of the answer's head, put beside its body
_ALARM = re.compile(r"\s*(?:memberID:(\d+)\s+)?alarm:([A-Z]+)\s*")  # as etcd tells one among what is wrong


class StoreRefused(Busy):
    """etcd said no, in its words."""


@dataclass(frozen=True)
class Membership:
    """Who is in the cluster that etcd calls by this number."""

    cluster: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class MemberSaid:
    """What a member says of itself. `leader`: 0 when it knows none; bytes of its database, all and in use; `clock`:
    what time it is there, None when it does not say, and `asked` what it was here; `version`: of etcd.
    """

    member: int
    leader: int
    revision: int
    applied: int
    is_learner: bool
    bytes: int
    bytes_used: int
    troubles: tuple[str, ...]
    alarms: frozenset[StoreAlarm] = frozenset()
    clock: datetime | None = None
    version: str = ""
    asked: datetime | None = None


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

    def hand_over(self, member: int) -> None:
        """Of the leader alone. Raises Unreachable, StoreRefused."""
        self._ask("maintenance/transfer-leadership", {"targetID": str(member)})

    def compact(self, revision: int) -> None:
        """Give up the history before it; done when it is given up already. Raises Unreachable, StoreRefused."""
        try:
            self._ask("kv/compaction", {"revision": str(revision), "physical": True}, LONG_SECONDS)
        except StoreRefused as e:
            if "has been compacted" not in e.message:
                raise

    def defragment(self) -> None:
        """Of this member, which answers nothing else meanwhile. Raises Unreachable, StoreRefused."""
        self._ask("maintenance/defragment", {}, LONG_SECONDS)

    def disarm(self, alarm: StoreAlarm) -> None:
        """Raises Unreachable, StoreRefused."""
        self._ask(
            "maintenance/alarm", {"action": "DEACTIVATE", "memberID": str(alarm.member), "alarm": alarm.kind}
        )  # fmt: skip

    def status(self) -> MemberSaid:
        """Raises Unreachable, StoreRefused."""
        asked = datetime.now(UTC)
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
            alarms=frozenset(filter(None, map(_alarm, answer.get("errors", ())))),
            troubles=tuple(str(e)[:200] for e in answer.get("errors", ()) if _alarm(e) is None),
            clock=_clock(answer[_DATE]),
            version=str(answer.get("version", ""))[:20],
            asked=asked,
        )

    def metrics(self) -> str:
        """All its figures, in Prometheus' format. Raises Unreachable."""
        with closing(
            Client(Patience(self.seconds), f"etcd on {self.host}", redirects=0, direct=True, context=self.context)
        ) as client:
            raw = client.ask(f"{url(self.host, self.port)}/metrics", "its figures").whole(_LARGEST)
        return raw.decode(errors="replace")

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

    def snapshot(self, into: IO[bytes], told: Callable[[int, int], None] = lambda _got, _left: None) -> int:
        """Write a snapshot of its database, which needs no quorum; returns how many bytes it has.

        `told` is called now and then, with bytes that are there and bytes that are to come. Raises Unreachable,
        StoreRefused, OSError.
        """
        got, rest, sum_ = 0, b"", hashlib.sha256()
        tail = b""  # what may be the hash at the end: that of all before it
        who = f"etcd on {self.host}"
        with closing(Client(Patience(None, SILENCE), who, redirects=0, direct=True, context=self.context)) as client:
            url_ = f"{url(self.host, self.port)}/v3/maintenance/snapshot"
            for piece in client.ask(url_, "its snapshot", method="POST", body=b"{}").pieces():
                *lines, rest = (rest + piece).split(b"\n")
                if len(rest) > _LARGEST:
                    raise Unreachable(f"{who} sends something else than a snapshot")
                for line in filter(None, lines):
                    blob, left = _part(line, who)
                    into.write(blob)
                    got += len(blob)
                    tail += blob
                    sum_.update(tail[:-_HASH_BYTES])
                    tail = tail[-_HASH_BYTES:]
                    told(got, left)
        if rest or sum_.digest() != tail:
            raise Unreachable(f"{who} sent a snapshot that is not whole: its hash is not that of what came")
        return got

    def _ask(self, what: str, body: wire.Json, seconds: float = 0.0) -> dict[str, Any]:
        patience = Patience(seconds or self.seconds)
        with closing(
            Client(patience, f"etcd on {self.host}", redirects=0, direct=True, context=self.context)
        ) as client:
            reply = client.ask(f"{url(self.host, self.port)}/v3/{what}", method="POST", body=json.dumps(body).encode())
            raw = reply.whole(_LARGEST)
            date = str(reply.headers.get("Date", ""))
        try:
            answer = json.loads(raw)
            if reply.status == 200 and isinstance(answer, dict):
                return {**answer, _DATE: date}
            said = str(answer.get("message") or answer.get("error"))[:300]
        except (ValueError, AttributeError, RecursionError):
            raise Unreachable(f"etcd on {self.host} answers {reply.status} with something else than JSON") from None
        raise StoreRefused(f"etcd on {self.host} refuses: {said}")


def _member(of: dict[str, Any]) -> Member:
    peers = of.get("peerURLs", [])
    return Member(int(of["ID"]), of.get("name", ""), peers[0] if peers else "", bool(of.get("isLearner", False)))


def _alarm(said: object) -> StoreAlarm | None:
    found = _ALARM.fullmatch(str(said))
    return StoreAlarm(found[2], int(found[1] or 0)) if found else None


def _clock(date: str) -> datetime | None:
    try:
        return parsedate_to_datetime(date).astimezone(UTC)
    except ValueError:
        return None


def _part(line: bytes, who: str) -> tuple[bytes, int]:
    """Of a snapshot: bytes, and how many are to come. Raises Unreachable, StoreRefused."""
    try:
        answer = json.loads(line)
        if "error" in answer:
            said = answer["error"]
            raise StoreRefused(f"{who} refuses: {str(said.get('message', said))[:300]}")
        part = answer["result"]
        return base64.b64decode(part.get("blob", "")), wire.number(part, "remaining_bytes")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise Unreachable(f"{who} sends something else than a snapshot") from None
