"""What is done about a store that is full, wastes its disk, or has a member with other data, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orlop.model.cluster.actions import Action, Compact, Defragment, Disarm, HandOver, LeaveAlone, Remove, Start
from orlop.model.cluster.decide import decide
from orlop.model.cluster.member import CORRUPT, NOSPACE, ClusterView, Member, MemberSpace, Myself, StoreAlarm

A, B, C = (Member(n, f"n{n}-{n:08x}", f"https://10.0.0.{n}:2380") for n in (1, 2, 3))
ME = Myself(f"{1:08x}", A.peer, has_data=True, is_running=True, cluster=1, patience=60.0)
QUOTA = 1_000_000_000
SMALL, FULL, WASTED = MemberSpace(1_000_000, 1_000_000), MemberSpace(QUOTA, QUOTA), MemberSpace(QUOTA, 1_000_000)
WELL = ClusterView(
    ME, size=3, members=(A, B, C), leader=1, space=dict.fromkeys((1, 2, 3), SMALL), quota=QUOTA, revision=7, compacted=7
)  # fmt: skip
NO_ROOM = replace(WELL, alarms=frozenset([StoreAlarm(NOSPACE, 2)]), space=dict.fromkeys((1, 2, 3), FULL))


def other(*members: int) -> ClusterView:
    """Members whose data are not those of the others."""
    return replace(WELL, alarms=frozenset(StoreAlarm(CORRUPT, member) for member in members))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (replace(NO_ROOM, compacted=6), Compact(7, "the store is full: its history is given up")),
        # followers first, one at a time, the leader last
        (
            replace(NO_ROOM, space={1: WASTED, 2: WASTED, 3: WASTED}),
            Defragment(B, f"the store is full, and 999 MB of {B.name} are free"),
        ),
        (
            replace(NO_ROOM, space={1: WASTED, 2: SMALL, 3: SMALL}),
            Defragment(A, f"the store is full, and 999 MB of {A.name} are free"),
        ),
        (replace(NO_ROOM, space=WELL.space), Disarm(StoreAlarm(NOSPACE, 2), "the store has room again")),
        (
            NO_ROOM,
            LeaveAlone("the store is full, and takes no writes: 1000 MB of the 1000 MB that it may have are in use"),
        ),
        (
            replace(NO_ROOM, space={1: SMALL, 2: WASTED, 3: SMALL}, unable=frozenset([2])),
            LeaveAlone(f"the store is full, and takes no writes: {B.name} cannot make room on its own disk"),
        ),
        # nobody is made to answer nobody while another one is away
        (
            replace(NO_ROOM, space={1: WASTED, 2: WASTED}, silent={3: 1.0}),
            LeaveAlone(f"the store is full, and {C.name} does not answer: room is made when all do"),
        ),
        (
            replace(WELL, space={1: WASTED, 2: SMALL, 3: SMALL}),
            Defragment(A, f"999 MB of the 1000 MB of {A.name} are free"),
        ),
        (replace(WELL, space={1: WASTED, 2: SMALL}, silent={3: 1.0}), LeaveAlone(f"{C.name} does not answer")),
        (
            replace(WELL, space={1: WASTED, 2: SMALL, 3: SMALL}, unable=frozenset([1])),
            LeaveAlone("3 of 3 members answer", is_well=True),
        ),
        (
            replace(WELL, space={1: MemberSpace(90_000_000, 1_000), 2: SMALL, 3: SMALL}),  # it would not pay
            LeaveAlone("3 of 3 members answer", is_well=True),
        ),
        (
            other(2),
            Remove(B, f"the data of {B.name} are not those of the others: it is taken out, and joins anew"),
        ),
        (
            other(1),
            HandOver(C, f"the data of {A.name} are not those of the others: another one leads, and takes it out"),
        ),
        (other(9), Disarm(StoreAlarm(CORRUPT, 9), "the member with corrupted data is out: the others go on")),
        (
            other(0),
            LeaveAlone("members of the store have different data, and it is not known whose are right"),
        ),
        # never below a quorum
        (
            replace(other(2), silent={3: 1.0}),
            LeaveAlone(
                f"the data of {B.name} are not those of the others, and the others could not go on without it: "
                "too few of them answer"
            ),
        ),
        (
            replace(other(1), members=(A,), size=1),
            LeaveAlone(
                f"the data of {A.name} are not those of the others, and the others could not go on without it: "
                "too few of them answer"
            ),
        ),
        # data with which etcd does not come up, as those of a disk that was set back, are given up for the others'
        (
            replace(WELL, me=replace(ME, is_running=False, down=61.0), leader=2, silent={1: 61.0}),
            Remove(A, "its etcd has not come up for 61 s with the data that it has: it learns them from the others"),
        ),
        (
            replace(WELL, me=replace(ME, is_running=False, down=59.0), leader=2, silent={1: 59.0}),
            Start("it is a member, and its etcd does not answer: it is started, or waits for a quorum"),
        ),
        (
            replace(WELL, me=replace(ME, is_running=False, down=61.0), leader=2, silent={1: 61.0, 3: 1.0}),
            Start(
                "it is a member, and its etcd does not answer: it is started, or waits for a quorum; "
                "the others could not go on without its member"
            ),
        ),
        # a full disk is no reason to give data up
        (
            replace(
                WELL, me=replace(ME, is_running=False, down=61.0, full="/var has 3 MB free"), leader=2, silent={1: 61.0}
            ),
            Start("it is a member, and its etcd does not answer: /var has 3 MB free"),
        ),
        (
            replace(WELL, me=replace(ME, full="/var has 3 MB free")),
            LeaveAlone("3 of 3 members answer, but on this server /var has 3 MB free"),
        ),
    ],
)
def test_what_is_done_and_why(view: ClusterView, expected: Action) -> None:
    assert decide(view) == expected


def test_two_members_with_other_data_go_one_after_the_other() -> None:
    """Of five: the second goes when the first one's place is filled, or its going leaves a quorum."""
    d, e = (Member(n, f"n{n}-{n:08x}", f"https://10.0.0.{n}:2380") for n in (4, 5))
    view = replace(other(2, 3), members=(A, B, C, d, e), size=5)
    assert isinstance(decide(view), Remove)
    joining = replace(B, id=6, is_learner=True)
    assert not isinstance(decide(replace(view, members=(A, C, d, e, joining))), Remove)
