"""Who is in the store and how each voter is, asked of etcd at this moment.

The list is one that a quorum agrees on; each voter is then asked itself, all at once, on a connection of its own. What
one does not answer within SECONDS it is not well for. Lifetime: one question.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from orlop.errors import OrlopError
from orlop.model.cluster.lock import StoreMembers, Voter
from orlop.model.cluster.member import Member
from orlop.store.etcd import wire
from orlop.store.etcd.client import EtcdStore, good
from orlop.store.etcd.pool import Pool

SECONDS = 2.0
MOST_BEHIND = 1000  # entries of the log that a voter may have yet to apply


class EtcdMembers:
    """`context`: what is shown to the members, asked for anew each time, because certificates are renewed."""

    def __init__(self, store: EtcdStore, context: Callable[[], ssl.SSLContext | None]) -> None:
        self._store, self._context = store, context

    async def __call__(self) -> StoreMembers:
        """Raises Unavailable: no quorum answers."""
        listed = await self._store.member_list()
        voters = [of for of in listed if not of.get("isLearner")]
        answers = await asyncio.gather(*(self._status(of) for of in voters))
        newest = max((wire.number(said, "raftIndex") for said in answers if isinstance(said, dict)), default=0)
        told = tuple(_voter(of, said, newest) for of, said in zip(voters, answers, strict=True))
        return StoreMembers(told, tuple(_member(of) for of in listed if of.get("isLearner")))

    async def _status(self, of: dict[str, Any]) -> wire.Json | str:
        """What a member says of itself, or why it says nothing."""
        urls = of.get("clientURLs") or ()
        if not urls:
            return "has not started yet"
        try:
            pool = Pool(urls[:1], self._context(), size=1)
            try:
                return good(await pool.call("/v3/maintenance/status", {}, each=SECONDS, within=SECONDS))
            finally:
                await pool.close()
        except (OrlopError, OSError):
            return "does not answer"


def _voter(of: dict[str, Any], said: wire.Json | str, newest: int) -> Voter:
    if isinstance(said, str):
        return Voter(_member(of), said)
    return Voter(_member(of), _trouble(said, newest), str(said.get("version") or ""))


def _trouble(said: wire.Json, newest: int) -> str:
    if errors := said.get("errors"):
        return f"says: {str(errors[0])[:200]}"
    if not wire.number(said, "leader"):
        return "knows no leader"
    behind = newest - wire.number(said, "raftAppliedIndex")
    return f"is {behind} entries behind" if behind > MOST_BEHIND else ""


def _member(of: dict[str, Any]) -> Member:
    peers = of.get("peerURLs") or ("",)
    return Member(wire.number(of, "ID"), str(of.get("name") or ""), str(peers[0]), bool(of.get("isLearner")))
