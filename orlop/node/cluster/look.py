"""One look at the cluster: this machine, what the members say, and which of them answer.

Lifetime: a `Looker` lives as long as the program: it knows since when a member has been silent. That is forgotten when
the program starts anew, so a member is never thought gone too early. `compacted` is what the leader's server has given
up of the store's history meanwhile.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from orlop.errors import OrlopError
from orlop.model.cluster.environment import QUOTA_BYTES
from orlop.model.cluster.member import ClusterView, Member, MemberSpace, Myself, StoreAlarm
from orlop.model.cluster.names import CANDIDATES, PEER_PORT, SIZE_KEY, SIZES, STORE_PORT
from orlop.node.cluster.etcd import SECONDS, Endpoint, MemberSaid

LOCAL = "127.0.0.1"
_ASKERS = 4
# X509_V_ERR_…: what signed the certificate is not the authority that is believed, be it of the same name (7, 30)
_OTHER_AUTHORITY = (7, 18, 19, 20, 21, 30)
UNABLE_SECONDS = 600.0


@dataclass(frozen=True)
class Look:
    """`through`: who has a quorum behind it and may be asked to change something. `said`: by member's id. `has_size`:
    the store says how large it is to be. `cluster`: what etcd calls it, 0 when nobody says. `own`: this server's etcd.
    """

    view: ClusterView
    through: Endpoint | None = None
    said: Mapping[int, MemberSaid] = field(default_factory=dict)
    has_size: bool = False
    cluster: int = 0
    own: Endpoint | None = None


class Looker:
    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, port: int = STORE_PORT, peers: int = PEER_PORT
    ) -> None:
        self._clock, self._port, self._peers = clock, port, peers
        self._silent_since: dict[int, float] = {}
        self._down_since: float | None = None
        self._unable: dict[int, float] = {}
        self.compacted = 0

    def look(self, me: Myself, others: Sequence[str], context: ssl.SSLContext, size: int) -> Look:
        """`me` as far as it is known without asking; `others`: addresses of other servers; `size`: when the store does
        not say. Raises nothing: who does not answer is not there.
        """
        own = _said(self._endpoint(LOCAL, context))
        me = replace(me, is_running=own is not None, down=self._down(is_down=me.has_data and own is None))
        hosts = [LOCAL, *others] if own is not None and not own.is_learner else list(others)
        stranger = foreign = ""
        for endpoint in (self._endpoint(host, context) for host in hosts):
            try:
                found = endpoint.members()
                if me.cluster not in (0, found.cluster):
                    stranger = endpoint.host
                    continue
                written = endpoint.get(SIZE_KEY)
                waiting = frozenset(endpoint.below(CANDIDATES))
            except OrlopError as e:
                if _is_of_other_authority(e):
                    foreign = endpoint.host
                continue
            has_size = written is not None and written.isdigit() and int(written) in SIZES
            members = found.members
            said = self._ask(members, me, own, context)
            leader = next((s.leader for s in said.values() if s.leader), 0)
            silent = self._silence(members, said)
            view = ClusterView(
                me,
                int(written) if has_size and written else size,
                members,
                leader,
                silent,
                waiting,
                space={id_: MemberSpace(s.bytes, s.bytes_used) for id_, s in said.items()},
                quota=QUOTA_BYTES,
                alarms=_alarms(said, leader),
                revision=max((s.revision for s in said.values()), default=0),
                compacted=self.compacted,
                unable=frozenset(id_ for id_, at in self._unable.items() if self._clock() - at < UNABLE_SECONDS),
            )
            return Look(view, endpoint, said, has_size, found.cluster, self._endpoint(LOCAL, context))
        if me.may_form and own is None:
            # a member without a quorum does not answer clients, but it does listen for its peers
            stranger = stranger or next((host for host in others if self._listens(host)), "")
        return Look(
            ClusterView(me, size=size, stranger=stranger, foreign=foreign), said={own.member: own} if own else {}
        )

    @staticmethod
    def waiting(endpoint: Endpoint, members: Iterable[Member]) -> int:
        """How many servers wait for a place. Raises as Endpoint."""
        there = list(members)
        return sum(not any(m.is_of(c, "") for m in there) for c in endpoint.below(CANDIDATES))

    def could_not_defragment(self, member: int) -> None:
        """It is left alone for a while: what keeps it from that, a full disk perhaps, takes its time to mend."""
        self._unable[member] = self._clock()

    def _down(self, *, is_down: bool) -> float:
        """For how many seconds its etcd has not answered."""
        if not is_down:
            self._down_since = None
            return 0.0
        if self._down_since is None:
            self._down_since = self._clock()
        return self._clock() - self._down_since

    def _ask(
        self, members: Iterable[Member], me: Myself, own: MemberSaid | None, context: ssl.SSLContext
    ) -> dict[int, MemberSaid]:
        """What each says of itself, all asked at once; the one that is here has been asked."""
        found = {own.member: own} if own else {}
        others = [m for m in members if m.id not in found and m.is_started and m.peer != me.peer]

        if others:
            with ThreadPoolExecutor(_ASKERS) as pool:
                found |= {
                    m.id: s
                    for m, s in zip(
                        others, pool.map(_said, [self._endpoint(host_of(m), context) for m in others]), strict=True
                    )
                    if s
                }
        return found

    def _endpoint(self, host: str, context: ssl.SSLContext) -> Endpoint:
        return Endpoint(host, context, port=self._port)

    def _listens(self, host: str) -> bool:
        with suppress(OSError), socket.create_connection((host, self._peers), SECONDS):
            return True
        return False

    def _silence(self, members: Iterable[Member], said: Mapping[int, MemberSaid]) -> dict[int, float]:
        now = self._clock()
        silent = {m.id: self._silent_since.get(m.id, now) for m in members if m.id not in said}
        self._silent_since = silent
        return {id_: now - since for id_, since in silent.items()}


def _alarms(said: Mapping[int, MemberSaid], leader: int) -> frozenset[StoreAlarm]:
    """As the leader has them: a member that is behind knows yet of some that are over."""
    if leader in said:
        return said[leader].alarms
    return frozenset[StoreAlarm]().union(*(s.alarms for s in said.values()))


def _is_of_other_authority(error: OrlopError) -> bool:
    why = error.__context__
    return isinstance(why, ssl.SSLCertVerificationError) and why.verify_code in _OTHER_AUTHORITY


def host_of(member: Member) -> str:
    return urlsplit(member.peer).hostname or ""


def _said(endpoint: Endpoint) -> MemberSaid | None:
    with suppress(OrlopError):
        return endpoint.status()
    return None
