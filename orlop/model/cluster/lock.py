"""Who may reboot now: the reboot lock of a cluster, as a decision.

Machines are in groups, and each group has so many slots. Who holds one may reboot; it gives it back when it is well
again. One machine holds at most one slot. A server has another rule above its group's, whatever group that is: it may
go only when every other voter of the store is well, and the voters that stay are a quorum.

    nobody's ──asks, is granted──→ held ──gives back, is expelled, released, or gone for good──→ nobody's
                                    │ ↑
                                    └─┘ asks again: granted as long as the store can do without it

Invariants. A grant leaves a quorum of voters that are well and are not about to reboot themselves. Asking again and
giving back again change nothing. A refusal takes nothing away: who held a slot holds it still.
Liveness: when all voters are well and nobody holds a slot, whoever asks gets one, unless its group has none or the
store has two voters, of which none can go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orlop.errors import BadInput
from orlop.model.cluster.machine import machine_trouble
from orlop.model.cluster.member import Member, quorum
from orlop.model.cluster.names import Role
from orlop.model.cluster.upgrade import EtcdVersion, upgrade_trouble
from orlop.model.words.record import record_text
from orlop.model.words.strict import Fields, parse_json, stamp

SCHEMA = 1
LARGEST = 4096  # bytes of a hold
USUAL_SLOTS, MOST_SLOTS = 1, 1000
# a holder that is not heard of for so long is gone for good, and its slot is free; reports come twice a minute
HOLD_SECONDS = 3600
BY_HAND = "`systemctl reboot` on the machine asks nobody"


def group_of(role: Role) -> str:
    """The group of a machine whose configuration names none."""
    return f"{role}s"


@dataclass(frozen=True)
class RebootHold:
    """A slot of `group` that a machine has `since` then."""

    machine: str
    host: str
    role: Role
    group: str
    since: datetime

    def shown(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "machine": self.machine, "host": self.host, "role": str(self.role), "group": self.group,
            "since": stamp(self.since),
        }  # fmt: skip

    def text(self) -> bytes:
        return record_text(self.shown())

    @property
    def called(self) -> str:
        return f"{self.host} ({self.machine[:8]})"

    @classmethod
    def read(cls, raw: bytes) -> RebootHold:
        """Raises BadInput."""
        f = Fields.of("", parse_json(raw, LARGEST))
        f.only("schema", "machine", "host", "role", "group", "since")
        f.number("schema", SCHEMA, SCHEMA)
        if trouble := machine_trouble(machine := f.line("machine", 32)):
            raise BadInput(trouble)
        role, group = Role(f.choice("role", *Role)), f.line("group", 253)
        return cls(machine, f.line("host", 64), role, group, f.moment("since"))


@dataclass(frozen=True)
class Voter:
    """A voting member of the store, asked just now. `trouble`: why it is not well, empty when it is. `version`: of its
    etcd, "" when it does not say.
    """

    member: Member
    trouble: str = ""
    version: str = ""


@dataclass(frozen=True)
class StoreMembers:
    """Who is in the store, as a quorum of it has just said."""

    voters: tuple[Voter, ...]
    learners: tuple[Member, ...] = ()


@dataclass(frozen=True)
class LockView:
    """`mine`: what would be held. `holds`: all there are. `store`: for a server, None for a worker. `etcd`: the version
    that the machine is about to start, "" when nobody knows.
    """

    mine: RebootHold
    slots: int
    holds: tuple[RebootHold, ...] = ()
    store: StoreMembers | None = None
    etcd: str = ""


class Refusal(StrEnum):
    """Why not, for programs: `kind` of the protocol."""

    SLOTS = "slots_taken"
    QUORUM = "quorum_at_risk"
    ETCD = "etcd_upgrade_order"


@dataclass(frozen=True)
class Granted:
    why: str


@dataclass(frozen=True)
class NotNow:
    kind: Refusal
    why: str
    hint: str = ""


def decide_lock(view: LockView) -> Granted | NotNow:
    """May this machine reboot now? What it holds already counts for it."""
    mine = view.mine
    others = [hold for hold in view.holds if hold.machine != mine.machine]
    has_one = any(hold.machine == mine.machine and hold.group == mine.group for hold in view.holds)
    if mine.role is not Role.SERVER and mine.group == group_of(Role.SERVER):
        return NotNow(Refusal.SLOTS, f"group {mine.group} is for servers, and {mine.host} is a {mine.role}")
    if not has_one and (refused := _slots(view, [hold for hold in others if hold.group == mine.group])):
        return refused
    if mine.role is Role.SERVER and view.store is not None and (refused := _store(view, view.store, others)):
        return refused
    return Granted(f"{mine.host} holds a slot of {mine.group}")


def _slots(view: LockView, held: list[RebootHold]) -> NotNow | None:
    group = view.mine.group
    if not view.slots:
        return NotNow(Refusal.SLOTS, f"no machine of group {group} may reboot: it has no slots",
                      "`orlop machine slots` gives it some")  # fmt: skip
    if len(held) < view.slots:
        return None
    names = ", ".join(f"{hold.called} since {stamp(hold.since)}" for hold in held)
    which = "the slot" if view.slots == 1 else f"all {view.slots} slots"
    return NotNow(Refusal.SLOTS, f"{which} of group {group} {'is' if view.slots == 1 else 'are'} held: {names}",
                  "`orlop machine unlock` releases one whose machine does not come back")  # fmt: skip


def _store(view: LockView, store: StoreMembers, others: Iterable[RebootHold]) -> NotNow | None:
    """What the store says about a server that wants to go."""
    mine = next((v for v in store.voters if v.member.is_of(view.mine.machine, "")), None)
    if mine is None:
        return None  # it has no vote: the store does not miss it
    rest = [voter for voter in store.voters if voter is not mine]
    for voter in rest:
        if why := voter.trouble or _reboots(voter, others):
            return NotNow(Refusal.QUORUM, f"the store needs this server: {voter.member.called} {why}", BY_HAND)
    if rest and len(rest) < quorum(len(store.voters)):
        # two of them: with any other number the ones that stay, all well, are a quorum
        return NotNow(Refusal.QUORUM, "the store has two members, and needs both", f"start another server; {BY_HAND}")
    if not rest and store.learners:
        why = f"{store.learners[0].called} is joining, and has the store from this server alone"
        return NotNow(Refusal.QUORUM, why)
    return _upgrade(view, store)


def _reboots(voter: Voter, others: Iterable[RebootHold]) -> str:
    return "holds the reboot lock" if any(voter.member.is_of(hold.machine, "") for hold in others) else ""


def _upgrade(view: LockView, store: StoreMembers) -> NotNow | None:
    if not view.etcd:
        return None
    try:
        present = [EtcdVersion.parse(voter.version) for voter in store.voters if voter.version]
        why = upgrade_trouble(present, EtcdVersion.parse(view.etcd))
    except BadInput as e:
        why = e.message
    return NotNow(Refusal.ETCD, why, "publish the releases in between first") if why else None
