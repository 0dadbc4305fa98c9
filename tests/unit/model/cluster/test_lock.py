"""The reboot lock: the store never loses its quorum by it, and everybody gets a turn.

The world has servers, waiting servers and workers that ask, reboot, come back, break and are mended. A voter is well
when its machine is up. Whoever is granted may go down at once, or ask again, or never come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orlop.model.cluster.lock import (
    Granted,
    LockView,
    NotNow,
    RebootHold,
    Refusal,
    StoreMembers,
    Voter,
    decide_lock,
    group_of,
)
from orlop.model.cluster.member import Member, member_name, quorum
from orlop.model.cluster.names import Role

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass
class Machine:
    name: str
    role: Role
    group: str
    votes: bool = False
    is_up: bool = True
    went_by_lock: bool = False

    @property
    def hold(self) -> RebootHold:
        return RebootHold(self.name, f"n{self.name[:2]}", self.role, self.group, NOW)

    @property
    def voter(self) -> Voter:
        member = Member(int(self.name, 16), member_name("n", self.name), "https://n:2380")
        return Voter(member, "" if self.is_up else "does not answer", "3.5.16")


class LockWorld(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.machines: list[Machine] = []
        self.holds: dict[str, RebootHold] = {}
        self.slots: dict[str, int] = {}
        self.broken_under_a_hold = False  # a voter broke by itself while another one had leave to go

    @initialize(
        voters=st.sampled_from([1, 2, 3, 5]),
        waiting=st.integers(0, 1),
        workers=st.integers(0, 4),
        groups=st.booleans(),
        slots=st.integers(1, 3),
    )
    def begin(self, voters: int, waiting: int, workers: int, groups: bool, slots: int) -> None:
        for n in range(voters + waiting + workers):
            role = Role.SERVER if n < voters + waiting else Role.WORKER
            group = f"g{n % 2}" if groups else group_of(role)
            self.machines.append(Machine(f"{n + 1:08x}{'0' * 24}", role, group, n < voters))
        self.slots = {machine.group: slots for machine in self.machines}

    @property
    def voters(self) -> list[Machine]:
        return [machine for machine in self.machines if machine.votes]

    def ask(self, machine: Machine) -> Granted | NotNow:
        """Only when a quorum is there to be asked, as in etcd."""
        store = None
        if machine.role is Role.SERVER:
            if sum(v.is_up for v in self.voters) < quorum(len(self.voters)):
                return NotNow(Refusal.QUORUM, "nobody answers")
            store = StoreMembers(tuple(v.voter for v in self.voters))
        view = LockView(machine.hold, self.slots[machine.group], tuple(self.holds.values()), store)
        decided = decide_lock(view)
        if isinstance(decided, Granted):
            left = [v for v in self.voters if v != machine and v.is_up and v.name not in self.holds]
            assert not machine.votes or len(self.voters) == 1 or len(left) >= quorum(len(self.voters))
            self.holds[machine.name] = machine.hold
        return decided

    @rule(data=st.data())
    def somebody_asks(self, data: st.DataObject) -> None:
        if up := [m for m in self.machines if m.is_up]:
            self.ask(data.draw(st.sampled_from(up)))

    @rule(data=st.data())
    def a_holder_asks_again(self, data: st.DataObject) -> None:
        if up := [m for m in self.machines if m.is_up and m.name in self.holds]:
            before = dict(self.holds)
            self.ask(data.draw(st.sampled_from(up)))
            assert self.holds == before, "asking again changes nothing, a refusal takes nothing"

    @rule(data=st.data())
    def a_holder_goes(self, data: st.DataObject) -> None:
        """Right after it was granted the slot once more, as everybody who reboots does."""
        if up := [m for m in self.machines if m.is_up and m.name in self.holds]:
            machine = data.draw(st.sampled_from(up))
            if isinstance(self.ask(machine), Granted):
                machine.is_up, machine.went_by_lock = False, True

    @rule(data=st.data(), gives_back=st.booleans())
    def one_comes_back(self, data: st.DataObject, gives_back: bool) -> None:
        if down := [m for m in self.machines if not m.is_up]:
            machine = data.draw(st.sampled_from(down))
            machine.is_up, machine.went_by_lock = True, False
            if gives_back:
                self.holds.pop(machine.name, None)

    @rule(data=st.data())
    def one_breaks(self, data: st.DataObject) -> None:
        machine = data.draw(st.sampled_from(self.machines))
        machine.is_up = False
        if machine.votes and any(v.went_by_lock for v in self.voters):
            self.broken_under_a_hold = True

    @rule(data=st.data())
    def a_hold_ends(self, data: st.DataObject) -> None:
        """Its machine was not heard of for long, or an operator released it: be it down, or on its way."""
        if self.holds:
            self.holds.pop(data.draw(st.sampled_from(sorted(self.holds))))

    @rule(data=st.data(), slots=st.integers(0, 3))
    def slots_are_changed(self, data: st.DataObject, slots: int) -> None:
        self.slots[data.draw(st.sampled_from(sorted(self.slots)))] = slots

    @invariant()
    def no_reboot_takes_the_quorum(self) -> None:
        """What breaks by itself may; what goes by the lock never does."""
        if self.broken_under_a_hold or len(self.voters) == 1:
            return
        went = [v for v in self.voters if v.went_by_lock]
        assert len(went) <= 1
        if went:
            assert sum(v.is_up for v in self.voters) >= quorum(len(self.voters))

    @precondition(lambda self: self.machines)
    @rule()
    def everybody_gets_a_turn_when_all_is_well(self) -> None:
        """Liveness, from wherever the world is: what is broken is mended, who came back gives back."""
        for machine in self.machines:
            machine.is_up, machine.went_by_lock = True, False
        self.holds.clear()
        self.broken_under_a_hold = False
        self.slots = {group: max(1, slots) for group, slots in self.slots.items()}
        for machine in self.machines:
            decided = self.ask(machine)
            if machine.votes and len(self.voters) == 2:
                assert isinstance(decided, NotNow) and "needs both" in decided.why
            else:
                assert isinstance(decided, Granted), decided
            self.holds.clear()


TestLockWorld = LockWorld.TestCase
TestLockWorld.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# the words, each once

A, B, C = (Machine(f"{n:08x}{'0' * 24}", Role.SERVER, "servers", votes=True) for n in (1, 2, 3))
WORKER = Machine(f"{9:08x}{'0' * 24}", Role.WORKER, "workers")


def store(*machines: Machine, learners: tuple[Member, ...] = ()) -> StoreMembers:
    return StoreMembers(tuple(machine.voter for machine in machines), learners)


def refused(view: LockView) -> NotNow:
    decided = decide_lock(view)
    assert isinstance(decided, NotNow), decided
    return decided


def test_who_holds_the_slot_is_named() -> None:
    found = refused(LockView(A.hold, 1, (B.hold,), store(A, B, C)))
    assert found.kind is Refusal.SLOTS
    assert found.why == "the slot of group servers is held: n00 (00000002) since 2026-12-01T00:00:00Z"
    assert "unlock" in found.hint


def test_a_second_slot_does_not_let_a_second_voter_go() -> None:
    found = refused(LockView(A.hold, 2, (B.hold,), store(A, B, C)))
    assert (found.kind, found.why) == (Refusal.QUORUM, "the store needs this server: n-00000002 holds the reboot lock")
    assert "systemctl reboot" in found.hint


def test_a_voter_that_is_not_well_keeps_the_others() -> None:
    down = Machine(B.name, Role.SERVER, "servers", votes=True, is_up=False)
    assert refused(LockView(A.hold, 1, (), store(A, down, C))).why.endswith("n-00000002 does not answer")
    assert isinstance(decide_lock(LockView(down.hold, 1, (), store(A, down, C))), Granted), "a reboot may mend it"


def test_a_worker_does_not_take_the_servers_slot() -> None:
    odd = Machine(WORKER.name, Role.WORKER, "servers")
    assert refused(LockView(odd.hold, 1)).why == "group servers is for servers, and n00 is a worker"


def test_a_group_without_slots() -> None:
    assert refused(LockView(WORKER.hold, 0)).why == "no machine of group workers may reboot: it has no slots"


def test_the_only_member_may_go_unless_somebody_learns_from_it() -> None:
    assert isinstance(decide_lock(LockView(A.hold, 1, (), store(A))), Granted)
    learner = Member(7, "", "https://n2:2380", is_learner=True)
    assert "is joining" in refused(LockView(A.hold, 1, (), store(A, learners=(learner,)))).why


@pytest.mark.parametrize(("etcd", "why"), [("3.6.1", ""), ("3.7.0", "one minor version at a time"), ("junk", "junk")])
def test_the_order_of_etcds_versions(etcd: str, why: str) -> None:
    decided = decide_lock(LockView(A.hold, 1, (), store(A, B, C), etcd))
    if why:
        assert isinstance(decided, NotNow) and decided.kind is Refusal.ETCD and why in decided.why
    else:
        assert isinstance(decided, Granted)


def test_a_hold_is_read_as_it_was_written() -> None:
    assert RebootHold.read(A.hold.text()) == A.hold
