"""Members of the store, and one server's view of them: what orlop.model.cluster.decide decides from.

A member is called HOST-MACHINE, with the first eight digits of what its machine is called in the cluster: people read
the one, and the other is how a machine knows its own member again. A member that was added and has not started yet
has no name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MACHINE_DIGITS = 8


def member_name(host: str, machine: str) -> str:
    return f"{host.partition('.')[0] or 'server'}-{machine[:MACHINE_DIGITS]}"


def quorum(voters: int) -> int:
    """How many of so many voters must agree."""
    return voters // 2 + 1


@dataclass(frozen=True)
class Member:
    """`peer`: the address its peers dial, as it was added with."""

    id: int
    name: str
    peer: str
    is_learner: bool = False

    @property
    def is_started(self) -> bool:
        return bool(self.name)

    @property
    def called(self) -> str:
        """For people."""
        return self.name or f"a member at {self.peer} that has not started yet"

    def is_of(self, machine: str, peer: str) -> bool:
        """Whether it is the member of this machine, whose address is `peer`."""
        return self.name.endswith(f"-{machine[:MACHINE_DIGITS]}") or (not self.name and self.peer == peer)


@dataclass(frozen=True)
class Myself:
    """The server that looks. `cluster`: what etcd calls the cluster that it was a member of, by its memory, 0 for none.
    `may_form`: it is the first server, and `cannot_form` why it may not form the cluster all the same. `patience`: for
    how many seconds a member may be silent before another takes its place. `down`: for how many seconds it has had data
    with which its etcd does not answer. `full`: that its disk is, in words; "" when it is not.
    """

    machine: str
    peer: str
    has_data: bool = False
    is_running: bool = False
    cluster: int = 0
    may_form: bool = False
    cannot_form: str = ""
    patience: float = 300.0
    down: float = 0.0
    full: str = ""


@dataclass(frozen=True, order=True)
class StoreAlarm:
    """`kind`: NOSPACE or CORRUPT, in etcd's words. Until it is ended the store takes no writes, whoever it is about."""

    kind: str
    member: int


NOSPACE, CORRUPT = "NOSPACE", "CORRUPT"


@dataclass(frozen=True)
class MemberSpace:
    """Of a member's database: bytes on its disk, and of these in use."""

    bytes: int
    used: int


@dataclass(frozen=True)
class ClusterView:
    """`size`: how many voters there are to be, 0 when nobody says. `members`: as a server that has a quorum behind it
    says; None when no such server answers. `silent`: for how many seconds members have not answered this server, by id;
    one that answers is not in it. `candidates`: machines that wait to be members. `leader`: a member's id, 0 for none.
    `stranger`: a server that has a store, but not as this one needs it: of another cluster than the one that this
    server was a member of, though it has the same keys; or, for who would form one, without a quorum. `foreign`: one
    that shows a certificate of another authority: of another cluster, whatever that is called. `space`: of those that
    answer, by id; `quota`: what a database may have, in bytes. `revision`: the store's; `compacted`: up to which
    one the leader gave its history up since it looks. `unable`: members that could not be defragmented lately.
    """

    me: Myself
    size: int = 0
    members: tuple[Member, ...] | None = None
    leader: int = 0
    silent: Mapping[int, float] = field(default_factory=dict)
    candidates: frozenset[str] = frozenset()
    stranger: str = ""
    foreign: str = ""
    space: Mapping[int, MemberSpace] = field(default_factory=dict)
    quota: int = 2 << 30
    alarms: frozenset[StoreAlarm] = frozenset()
    revision: int = 0
    compacted: int = 0
    unable: frozenset[int] = frozenset()

    @property
    def voters(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members or () if not m.is_learner)

    @property
    def learners(self) -> tuple[Member, ...]:
        return tuple(m for m in self.members or () if m.is_learner)

    @property
    def mine(self) -> Member | None:
        return next((m for m in self.members or () if m.is_of(self.me.machine, self.me.peer)), None)
