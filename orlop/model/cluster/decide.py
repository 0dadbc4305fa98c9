"""What a server does next about the membership of the store: one action, with its reason.

Each server decides for itself when it is not a member: it forms the cluster, joins it as a learner, or waits for room.
Once it is one, only the leader's server acts: it lets learners vote, takes out members that are gone, and looks after
the store (heal.py). So there is one who acts on others, and etcd's own check (strict reconfiguration) stands behind it.

    not a member ──Form──────────────────────────→ the only voter
         │ └───────Join──→ learner ──Promote──→ voter ──(silent for long, somebody waits)──Remove──→ gone
         └──Offer: no room, waits as a candidate ↗
    its member was removed ──Anew──→ not a member

Invariants. A removal leaves a quorum of voters that answer. Members come and go one at a time: nobody is removed while
somebody is on the way in. A voter is removed only when it is too many, when it is gone and another server waits for its
place, when its data are corrupted, or when its own machine says that its data are gone or etcd does not come up with
them. A machine that was a member never forms a cluster.
Liveness: from every state in which a quorum answers, a cluster with enough servers gets to its size.
"""

from __future__ import annotations

from orlop.model.cluster.actions import (
    Action,
    Anew,
    Form,
    Join,
    LeaveAlone,
    Offer,
    Promote,
    Readdress,
    Remove,
    Start,
)
from orlop.model.cluster.heal import corrupted, is_safe_without, make_room, tidy
from orlop.model.cluster.member import ClusterView, Member

LEARNER_SECONDS = 60.0  # a learner that does not come up holds up everybody else
_SIZELESS = "the store does not say yet how many members it is to have"


def decide(view: ClusterView) -> Action:
    me = view.me
    if me.has_data:
        if view.members is not None and view.mine is None:
            return _not_in_it(view)
        if view.mine is not None and view.mine.peer != me.peer:
            return Readdress(view.mine, f"this machine is at {me.peer} now, and its member at {view.mine.peer}")
        if not me.is_running:
            return _not_running(view)
        if view.members is None:
            return LeaveAlone(
                "no server has a quorum behind it: fewer than half of the members answer" + _stranger(view)
            )
        return _as_member(view)
    if view.members is None:
        return _alone(view)
    return _from_outside(view)


def _not_running(view: ClusterView) -> Action:
    """Data with which etcd does not come up, though the others are there, are given up for theirs: they are damaged, or
    are those of a disk that was set back, with which a member knows less than it told the others.
    """
    me, mine = view.me, view.mine
    why = "it is a member, and its etcd does not answer: it is started, or waits for a quorum"
    if me.full:
        return Start(f"it is a member, and its etcd does not answer: {me.full}")
    if mine is None or me.down <= me.patience or view.learners:
        return Start(why)
    if not is_safe_without(view, mine):
        return Start(f"{why}; the others could not go on without its member")
    return Remove(
        mine, f"its etcd has not come up for {me.down:.0f} s with the data that it has: it learns them from the others"
    )


def _not_in_it(view: ClusterView) -> Action:
    """Data are only given up when it is known that they are of the very cluster that does not have this member."""
    if view.me.cluster:
        return Anew("the other servers removed this member: its data are of no use any more")
    if not view.me.is_running:
        return Start("its etcd does not run, and only it knows which cluster its data are of")
    return LeaveAlone("its data are of another cluster than the one that answers: nothing is done about them")


def _alone(view: ClusterView) -> Action:
    me = view.me
    if me.cluster:
        why = (
            "this server was a member, its data are gone, and no other server of its cluster answers: it waits for one"
        )
        return LeaveAlone(why + _stranger(view))
    if view.foreign:
        return LeaveAlone(
            f"no server of the cluster answers: {view.foreign} is a server of another one, which has other keys, "
            "be it of the same name"
        )
    if not me.may_form:
        return LeaveAlone("no server of the cluster answers yet")
    if me.cannot_form:
        return LeaveAlone(f"no server of the cluster answers yet, and this one cannot make its store: {me.cannot_form}")
    if view.stranger:
        return LeaveAlone(
            f"it is the first server, but {view.stranger} has a store already, without a quorum behind it"
        )
    return Form("it is the first server, and no other one answers")


def _stranger(view: ClusterView) -> str:
    return f"; {view.stranger} answers for another cluster with the same keys" if view.stranger else ""


def _from_outside(view: ClusterView) -> Action:
    mine = view.mine
    if mine is not None and mine.is_started:
        if view.learners and not mine.is_learner:
            return LeaveAlone(f"this machine's data are gone, and {view.learners[0].called} is joining: one at a time")
        if is_safe_without(view, mine):
            return Remove(mine, "this machine's data are gone: its old member makes room for a new one")
        return LeaveAlone(
            "this machine's data are gone, and the others could not go on without its old member: they wait"
        )
    if mine is not None:
        return Start("it was added, and has not started yet")
    if not view.size:
        return LeaveAlone(_SIZELESS)
    if view.learners:
        return Offer(f"{view.learners[0].called} is joining: one at a time")
    if len(view.voters) >= view.size:
        why = f"the cluster has its {view.size} members: this server waits for a place"
        return Offer(why, is_well=not any(m.id in view.silent for m in view.voters))
    return Join(f"the cluster has {len(view.voters)} of {view.size} members")


def _as_member(view: ClusterView) -> Action:
    mine = view.mine
    assert mine is not None
    if mine.is_learner:
        return LeaveAlone("it is a learner: the leader lets it vote when it has caught up")
    if not view.leader:
        return LeaveAlone("the members elect a leader")
    if not view.size:
        return LeaveAlone(_SIZELESS)
    if view.leader != mine.id:
        return _state(view)
    return _as_leader(view, mine)


def _as_leader(view: ClusterView, mine: Member) -> Action:
    for learner in view.learners:
        if view.silent.get(learner.id, 0.0) > LEARNER_SECONDS:
            return Remove(learner, f"it was added and has not answered for {view.silent[learner.id]:.0f} s")
        if len(view.voters) >= view.size:
            return Remove(learner, f"the cluster has its {view.size} members")
        if learner.is_started:
            return Promote(learner, "it votes as soon as it has caught up")
    if view.learners:
        return LeaveAlone(f"{view.learners[0].called} is joining")
    problem = corrupted(view, mine)
    if problem and not isinstance(problem, LeaveAlone):
        return problem
    if len(view.voters) > view.size:
        return _shrink(view, mine)
    replaced = _replace(view, mine)
    if isinstance(replaced, Remove):
        return replaced
    return problem or replaced or make_room(view, mine) or tidy(view, mine) or _state(view)


def _shrink(view: ClusterView, mine: Member) -> Action:
    """The silent go first; among those that answer, the one with the largest id, which means nothing."""
    others = [m for m in view.voters if m != mine]
    for member in sorted(others, key=lambda m: (view.silent.get(m.id, 0.0), m.id), reverse=True):
        if is_safe_without(view, member):
            return Remove(member, f"the cluster has {len(view.voters)} members and is to have {view.size}")
    return LeaveAlone(f"the cluster is to have {view.size} members, and none can go: too few of them answer")


def _replace(view: ClusterView, mine: Member) -> Action | None:
    """Also when there is room for one more: etcd adds nobody while a member is away, so that one goes first."""
    gone = [m for m in view.voters if m != mine and view.silent.get(m.id, 0.0) > view.me.patience]
    waiting = [c for c in sorted(view.candidates) if not any(m.is_of(c, "") for m in view.members or ())]
    if not gone:
        return None
    lost = max(gone, key=lambda m: view.silent[m.id])
    seconds = f"{lost.called} has not answered for {view.silent[lost.id]:.0f} s"
    if not waiting:
        return LeaveAlone(f"{seconds}, and no other server waits for its place")
    if not is_safe_without(view, lost):
        return LeaveAlone(f"{seconds}, and the others could not go on without it: too few of them answer")
    return Remove(lost, f"{seconds}, and another server waits for its place")


def _state(view: ClusterView) -> LeaveAlone:
    silent = [m.called for m in view.voters if m.id in view.silent]
    if silent:
        return LeaveAlone(f"{', '.join(silent)} {'does' if len(silent) == 1 else 'do'} not answer")
    if view.me.full:
        return LeaveAlone(f"{len(view.voters)} of {view.size} members answer, but on this server {view.me.full}")
    if len(view.voters) < view.size:
        return LeaveAlone(f"the cluster has {len(view.voters)} of {view.size} members, and no server waits to be one")
    return LeaveAlone(f"{len(view.voters)} of {view.size} members answer", is_well=True)
