"""The membership of the store: nothing bad happens, and from every state in which it can, it gets well.

The world has machines that die, come back, lose their disks and are new; etcd's own rules are in it as its sources and
answers say (one learner; no new member while one is away). What it does not have is a wrong view: a server that acts
has a quorum behind it, which is etcd's part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orlop.model.cluster.actions import (
    Action,
    Anew,
    Compact,
    Defragment,
    Disarm,
    Form,
    HandOver,
    Healing,
    Join,
    LeaveAlone,
    MemberAction,
    Offer,
    Promote,
    Readdress,
    Remove,
    Start,
)
from orlop.model.cluster.decide import decide
from orlop.model.cluster.member import (
    CORRUPT,
    NOSPACE,
    ClusterView,
    Member,
    MemberSpace,
    Myself,
    StoreAlarm,
    member_name,
    quorum,
)

FRESH, QUOTA = 1 << 20, 1 << 30  # bytes


@dataclass
class Server:
    """`member`: the id of the member whose data it has, 0 for none. What is damaged counts as lost."""

    host: str
    machine: str
    is_first: bool = False
    is_on: bool = True
    member: int = 0
    was_member: bool = False
    is_late: bool = False
    damaged_since: float | None = None  # its etcd does not come up with its data

    @property
    def peer(self) -> str:
        return f"https://{self.host}:2380"


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.servers: list[Server] = []
        self.members: list[Member] = []
        self.size, self.now, self.formed, self.next, self.bought = 1, 0.0, 0, 1, 0
        self.candidates: set[str] = set()
        self.lost_since: dict[int, float] = {}
        self.alarms: set[StoreAlarm] = set()
        self.space: dict[int, MemberSpace] = {}
        self.leader, self.compacted = 0, False

    @initialize(servers=st.integers(1, 5), size=st.sampled_from([1, 3, 5]))
    def begin(self, servers: int, size: int) -> None:
        self.size = size
        for _ in range(servers):
            self.add()

    def add(self) -> None:
        n, self.bought = self.bought, self.bought + 1
        self.servers.append(Server(f"n{n}", f"{n:08x}{'0' * 24}", is_first=n == 0))

    # what is

    def holder(self, member: Member) -> Server | None:
        return next((s for s in self.servers if s.is_on and s.member == member.id and s.damaged_since is None), None)

    def answers(self, member: Member) -> bool:
        return self.holder(member) is not None

    def voters(self) -> list[Member]:
        return [m for m in self.members if not m.is_learner]

    def has_quorum(self) -> bool:
        voters = self.voters()
        return bool(voters) and sum(map(self.answers, voters)) >= quorum(len(voters))

    def could_ever(self) -> bool:
        """Whether enough disks with data are left, be they off."""
        held = {s.member for s in self.servers if s.damaged_since is None}
        voters = self.voters()
        return not self.formed or sum(m.id in held for m in voters) >= quorum(len(voters))

    def view(self, server: Server) -> ClusterView:
        me = Myself(
            server.machine,
            server.peer,
            has_data=bool(server.member),
            is_running=bool(server.member) and server.damaged_since is None,
            down=0.0 if server.damaged_since is None else self.now - server.damaged_since,
            cluster=int(server.was_member),
            may_form=server.is_first,
            cannot_form="the time for it is over" if server.is_late else "",
            patience=60.0,
        )
        if not self.has_quorum():
            return ClusterView(me, size=self.size)
        for m in self.members:
            if self.answers(m):
                self.lost_since.pop(m.id, None)
            else:
                self.lost_since.setdefault(m.id, self.now)
        silent = {i: self.now - since for i, since in self.lost_since.items() if any(m.id == i for m in self.members)}
        able = [m.id for m in self.voters() if self.answers(m)]
        self.leader = self.leader if self.leader in able else able[0]
        on = {s.machine for s in self.servers if s.is_on}
        space = {m.id: self.space.setdefault(m.id, MemberSpace(FRESH, FRESH)) for m in self.members if self.answers(m)}
        return ClusterView(
            me, self.size, tuple(self.members), self.leader, silent, frozenset(self.candidates & on),
            space=space, quota=QUOTA, alarms=frozenset(self.alarms), revision=2, compacted=2 * self.compacted,
        )  # fmt: skip

    # what happens

    @rule(data=st.data())
    def somebody_looks(self, data: st.DataObject) -> None:
        if on := [s for s in self.servers if s.is_on]:
            self.step(data.draw(st.sampled_from(on)))

    @rule(data=st.data(), loses_its_disk=st.booleans())
    def power_goes(self, data: st.DataObject, loses_its_disk: bool) -> None:
        server = data.draw(st.sampled_from(self.servers))
        server.is_on = False
        if loses_its_disk:
            server.member, server.was_member, server.damaged_since = 0, False, None
            server.is_late = True

    @rule(data=st.data())
    def power_comes(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.servers)).is_on = True

    @precondition(lambda self: self.formed)
    @rule(data=st.data())
    def data_are_damaged(self, data: st.DataObject) -> None:
        """A disk is set back, or a file is broken: etcd ends when it starts."""
        server = data.draw(st.sampled_from(self.servers))
        if server.member and server.damaged_since is None:
            server.damaged_since = self.now

    @precondition(lambda self: self.formed)
    @rule(data=st.data())
    def data_of_one_are_found_to_differ(self, data: st.DataObject) -> None:
        """etcd says so of fewer than half of the members: the others agree."""
        differ = {alarm.member for alarm in self.alarms if alarm.kind == CORRUPT}
        voters = [m for m in self.voters() if self.answers(m)]
        if len(voters) > 2 and len(differ & {m.id for m in voters}) + 1 < quorum(len(self.voters())):
            self.alarms.add(StoreAlarm(CORRUPT, data.draw(st.sampled_from(voters)).id))

    @precondition(lambda self: self.formed)
    @rule(data=st.data())
    def store_fills(self, data: st.DataObject) -> None:
        for m in self.members:
            self.space[m.id] = MemberSpace(QUOTA, QUOTA)
        self.compacted = False
        self.alarms.add(StoreAlarm(NOSPACE, data.draw(st.sampled_from(self.members)).id))

    @precondition(lambda self: self.formed)
    @rule(data=st.data())
    def database_is_mostly_free(self, data: st.DataObject) -> None:
        self.space[data.draw(st.sampled_from(self.members)).id] = MemberSpace(QUOTA // 2, FRESH)

    @rule(seconds=st.sampled_from([1.0, 30.0, 90.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.formed)
    @rule(size=st.sampled_from([1, 3, 5]))
    def size_is_changed(self, size: int) -> None:
        self.size = size

    @precondition(lambda self: len(self.servers) < 8)
    @rule()
    def server_is_bought(self) -> None:
        self.add()

    @precondition(lambda self: len(self.servers) > 1)
    @rule(data=st.data())
    def server_burns(self, data: st.DataObject) -> None:
        self.servers.remove(data.draw(st.sampled_from(self.servers)))

    # what is done of it

    def step(self, server: Server) -> Action:
        view = self.view(server)
        action = decide(view)
        assert action.why
        had = self.has_quorum()
        if isinstance(action, HandOver | Compact | Defragment | Disarm):
            self.heal(server, action)
        else:
            self.act(server, view, action)
        assert self.has_quorum() or not had, f"{action} took the quorum away"
        return action

    def act(self, server: Server, view: ClusterView, action: MemberAction) -> None:  # noqa: C901, PLR0912 - a case each
        match action:
            case Form():
                self.formed += 1
                self.members = [self.started(server, self.new_member(server))]
            case Join():
                assert not view.learners
                if all(map(self.answers, self.voters())):
                    self.candidates.discard(server.machine)
                    self.members.append(self.new_member(server, is_learner=True))
                else:  # etcd refuses, and it waits as the others do
                    self.candidates.add(server.machine)
            case Start():
                mine = view.mine
                if server.member:
                    assert server.damaged_since is not None, "what has data runs, here"
                else:
                    assert mine is not None
                    self.swap(self.started(server, mine))
            case Promote(member):
                assert member in self.members
                if self.answers(member):  # else etcd says that it has not caught up
                    self.swap(replace(member, is_learner=False))
            case Remove(member):
                assert len(self.learners()) <= 1
                assert member.is_learner or not self.learners(), "one at a time"
                self.members.remove(member)
                self.lost_since.pop(member.id, None)
            case Anew():
                assert all(m.id != server.member for m in self.members)
                server.member, server.damaged_since = 0, None
            case Offer():
                if not self.alarms:  # the store takes no writes
                    self.candidates.add(server.machine)
            case LeaveAlone():
                pass
            case Readdress():
                raise AssertionError("no server moves, here")

    def heal(self, server: Server, action: Healing) -> None:
        assert server.member == self.leader
        match action:
            case HandOver(member):
                assert self.answers(member)
                assert member in self.voters()
                assert StoreAlarm(CORRUPT, member.id) not in self.alarms
                self.leader = member.id
            case Compact():
                assert any(alarm.kind == NOSPACE for alarm in self.alarms), "history is not given up without need"
                self.compacted = True
                self.space = {id_: MemberSpace(s.bytes, FRESH) for id_, s in self.space.items()}
            case Defragment(member):
                assert all(map(self.answers, self.voters())), "one answers nobody, and another is away"
                assert not self.learners()
                wasting = {m.id for m in self.voters() if self.space[m.id].bytes > 2 * self.space[m.id].used}
                assert member.id != self.leader or wasting <= {self.leader}, "the leader is the last"
                self.space[member.id] = MemberSpace(self.space[member.id].used, self.space[member.id].used)
            case Disarm(alarm):
                members = {m.id for m in self.members}
                full = any(self.space[i].bytes > 0.9 * QUOTA for i in members if i in self.space)
                assert alarm.member not in members if alarm.kind == CORRUPT else not full
                self.alarms.remove(alarm)

    def learners(self) -> list[Member]:
        return [m for m in self.members if m.is_learner]

    def new_member(self, server: Server, *, is_learner: bool = False) -> Member:
        self.next += 1
        return Member(self.next, "", server.peer, is_learner)

    def started(self, server: Server, member: Member) -> Member:
        server.member, server.was_member = member.id, True
        return replace(member, name=member_name(server.host, server.machine))

    def swap(self, member: Member) -> None:
        self.members = [member if m.id == member.id else m for m in self.members]

    # what must hold

    @invariant()
    def there_is_one_cluster(self) -> None:
        assert self.formed <= 1

    @invariant()
    def nobody_has_two_members_that_vote_by_the_same_disk(self) -> None:
        held = [s.member for s in self.servers if s.member]
        assert len(held) == len(set(held))

    def teardown(self) -> None:
        """Everything comes back, as it is now: then the cluster gets to its size, unless too many disks are gone."""
        if (
            not self.servers
            or not self.could_ever()
            or not (self.formed or (self.servers[0].is_first and not self.servers[0].is_late))
        ):
            return
        for server in self.servers:
            server.is_on = True
        for _ in range(160):
            for server in self.servers:
                self.step(server)
            self.now += 10.0
        wanted = min(self.size, len(self.servers))
        answering = [m for m in self.voters() if self.answers(m)]
        if len(self.servers) >= self.size:
            assert len(answering) == len(self.voters()) == wanted, [self.step(s) for s in self.servers]
            assert not self.learners()
            assert not self.alarms
            assert decide(self.view(self.holder(answering[0]) or self.servers[0])).why.endswith("members answer")


World.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestWorld = World.TestCase

PEER = "https://10.0.0.1:2380"
A, B, C = (Member(n, f"n{n}-{n:08x}", f"https://10.0.0.{n}:2380") for n in (1, 2, 3))
ME = Myself(f"{1:08x}", PEER, has_data=True, is_running=True, cluster=1, patience=60.0)
THREE = ClusterView(ME, size=3, members=(A, B, C), leader=1)
SOON = "it votes as soon as it has caught up"
NEW = Myself(f"{9:08x}", "https://10.0.0.9:2380")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (THREE, LeaveAlone("3 of 3 members answer", is_well=True)),
        (replace(THREE, leader=0), LeaveAlone("the members elect a leader")),
        (replace(THREE, silent={2: 5.0}), LeaveAlone(f"{B.name} does not answer")),
        (
            replace(THREE, silent={2: 61.0}),
            LeaveAlone(f"{B.name} has not answered for 61 s, and no other server waits for its place"),
        ),
        (
            replace(THREE, silent={2: 61.0}, candidates=frozenset([NEW.machine])),
            Remove(B, f"{B.name} has not answered for 61 s, and another server waits for its place"),
        ),
        # who waits is the very one that is silent: it is not another
        (
            replace(THREE, silent={2: 61.0}, candidates=frozenset([f"{2:08x}"])),
            LeaveAlone(f"{B.name} has not answered for 61 s, and no other server waits for its place"),
        ),
        # etcd adds nobody while a member is away: it goes first, also when there would be room
        (
            replace(THREE, size=5, silent={2: 61.0}, candidates=frozenset([NEW.machine])),
            Remove(B, f"{B.name} has not answered for 61 s, and another server waits for its place"),
        ),
        (replace(THREE, members=(A, replace(B, is_learner=True))), Promote(replace(B, is_learner=True), SOON)),
        (
            replace(THREE, members=(A, replace(B, is_learner=True)), silent={2: 61.0}),
            Remove(replace(B, is_learner=True), "it was added and has not answered for 61 s"),
        ),
        (
            replace(THREE, members=None),
            LeaveAlone("no server has a quorum behind it: fewer than half of the members answer"),
        ),
        (ClusterView(NEW), LeaveAlone("no server of the cluster answers yet")),
        (
            ClusterView(replace(NEW, may_form=True), foreign="10.0.0.2"),
            LeaveAlone(
                "no server of the cluster answers: 10.0.0.2 is a server of another one, which has other keys, "
                "be it of the same name"
            ),
        ),
        (
            ClusterView(replace(NEW, may_form=True, cluster=1)),
            LeaveAlone(
                "this server was a member, its data are gone, and no other server of its cluster answers: "
                "it waits for one"
            ),
        ),
        (
            ClusterView(replace(NEW, may_form=True), stranger="10.0.0.2"),
            LeaveAlone("it is the first server, but 10.0.0.2 has a store already, without a quorum behind it"),
        ),
        (ClusterView(replace(NEW, may_form=True)), Form("it is the first server, and no other one answers")),
        (
            replace(THREE, me=NEW, silent={2: 1.0}),
            Offer("the cluster has its 3 members: this server waits for a place", is_well=False),
        ),
        (replace(THREE, me=NEW, size=0), LeaveAlone("the store does not say yet how many members it is to have")),
        (replace(THREE, size=0), LeaveAlone("the store does not say yet how many members it is to have")),
        (replace(THREE, me=NEW, size=5), Join("the cluster has 3 of 5 members")),
        (replace(THREE, me=NEW), Offer("the cluster has its 3 members: this server waits for a place", is_well=True)),
        (
            replace(THREE, me=replace(ME, peer="https://10.0.0.7:2380")),
            Readdress(A, "this machine is at https://10.0.0.7:2380 now, and its member at https://10.0.0.1:2380"),
        ),
        (
            replace(THREE, me=replace(NEW, has_data=True, is_running=True, cluster=1)),
            Anew("the other servers removed this member: its data are of no use any more"),
        ),
        # data are given up only when they are known to be of the cluster that answers
        (
            replace(THREE, me=replace(NEW, has_data=True)),
            Start("its etcd does not run, and only it knows which cluster its data are of"),
        ),
        (
            replace(THREE, me=replace(NEW, has_data=True, is_running=True)),
            LeaveAlone("its data are of another cluster than the one that answers: nothing is done about them"),
        ),
        (
            ClusterView(ME, size=3, stranger="10.0.0.9"),
            LeaveAlone(
                "no server has a quorum behind it: fewer than half of the members answer; "
                "10.0.0.9 answers for another cluster with the same keys"
            ),
        ),
        (
            ClusterView(replace(NEW, may_form=True, cannot_form="it is late")),
            LeaveAlone("no server of the cluster answers yet, and this one cannot make its store: it is late"),
        ),
        (
            replace(THREE, me=replace(ME, has_data=False, is_running=False), leader=2, silent={3: 1.0}),
            LeaveAlone(
                "this machine's data are gone, and the others could not go on without its old member: they wait"
            ),
        ),
    ],
)
def test_decision_and_its_reason(view: ClusterView, expected: Action) -> None:
    assert decide(view) == expected


def test_voter_in_whose_place_nobody_waits_is_left_to_come_back() -> None:
    for seconds in (0.0, ME.patience, 10.0 * ME.patience):
        assert isinstance(decide(replace(THREE, silent={2: seconds})), LeaveAlone)
