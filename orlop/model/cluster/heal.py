"""What the leader's server does about a store that is full, wastes its disk, or has a member with other data.

    CORRUPT   a member's data are not those of the others. The store takes no writes until it is out: a leader hands
              over first; the member is taken out, the alarm ended, and the machine joins anew, with the others' data
    NOSPACE   a database is at its quota. The store takes no writes until there is room: history goes, databases are
              defragmented, the alarm is ended. If all is in use only people can make room
    waste     a database that is mostly free is defragmented, when everything is well

Invariants: a member is defragmented, which makes it answer nobody for a while, only when all answer; one a turn; the
leader last. An alarm is ended only when what it was about is over. Who is taken out leaves a quorum that answers. Pure.
"""

from __future__ import annotations

from orlop.model.cluster.actions import Action, Compact, Defragment, Disarm, HandOver, LeaveAlone, Remove
from orlop.model.cluster.member import CORRUPT, NOSPACE, ClusterView, Member, quorum

FULL = 0.9  # of the quota: below it an alarm is over
PAYS_BYTES, PAYS_SHARE = 100 << 20, 0.5  # free in a database, both: then its disk gets it back
PAYS_WHEN_FULL = 0.05  # of the quota


def is_safe_without(view: ClusterView, member: Member) -> bool:
    """Whether a quorum of the voters that would be left answers."""
    left = [m for m in view.voters if m != member]
    return sum(m.id not in view.silent for m in left) >= quorum(len(left)) and bool(left)


def corrupted(view: ClusterView, mine: Member) -> Action | None:
    members = {m.id: m for m in view.members or ()}
    for alarm in sorted(view.alarms):
        if alarm.kind != CORRUPT:
            continue
        if not alarm.member:
            return LeaveAlone("members of the store have different data, and it is not known whose are right")
        if alarm.member not in members:
            return Disarm(alarm, "the member with corrupted data is out: the others go on")
        member = members[alarm.member]
        why = f"the data of {member.called} are not those of the others"
        if not is_safe_without(view, member):
            return LeaveAlone(f"{why}, and the others could not go on without it: too few of them answer")
        if member == mine:
            others = [m for m in view.voters if m != mine and m.id not in view.silent and not _is_corrupt(view, m)]
            if not others:
                return LeaveAlone(f"{why}, and no other one can lead")
            return HandOver(max(others, key=lambda m: m.id), f"{why}: another one leads, and takes it out")
        return Remove(member, f"{why}: it is taken out, and joins anew")
    return None


def _is_corrupt(view: ClusterView, member: Member) -> bool:
    return any((alarm.kind, alarm.member) == (CORRUPT, member.id) for alarm in view.alarms)


def make_room(view: ClusterView, mine: Member) -> Action | None:
    alarms = sorted(alarm for alarm in view.alarms if alarm.kind == NOSPACE)
    if not alarms:
        return None
    if silent := [m for m in view.voters if m.id not in view.space]:
        return LeaveAlone(f"the store is full, and {silent[0].called} does not answer: room is made when all do")
    if view.compacted < view.revision:
        return Compact(view.revision, "the store is full: its history is given up")
    for member in _leader_last(view, mine):
        space = view.space[member.id]
        wasted = space.bytes - space.used
        if space.bytes > FULL * view.quota and wasted > PAYS_WHEN_FULL * view.quota and member.id not in view.unable:
            return Defragment(member, f"the store is full, and {_mb(wasted)} of {member.called} are free")
    largest = max(view.voters, key=lambda m: view.space[m.id].bytes)
    space = view.space[largest.id]
    if space.bytes <= FULL * view.quota:
        return Disarm(alarms[0], "the store has room again")
    said = f"{_mb(space.used)} of the {_mb(view.quota)} that it may have are in use"
    if space.used <= FULL * view.quota:
        said = f"{largest.called} cannot make room on its own disk"
    return LeaveAlone(f"the store is full, and takes no writes: {said}")


def tidy(view: ClusterView, mine: Member) -> Action | None:
    """Only when all is well: everybody answers, nobody is on the way in, there is no alarm."""
    if view.alarms or view.learners or len(view.voters) != view.size or view.silent:
        return None
    for member in _leader_last(view, mine):
        space = view.space.get(member.id)
        if space is None or member.id in view.unable:
            continue
        wasted = space.bytes - space.used
        if wasted >= PAYS_BYTES and wasted >= PAYS_SHARE * space.bytes:
            return Defragment(member, f"{_mb(wasted)} of the {_mb(space.bytes)} of {member.called} are free")
    return None


def _leader_last(view: ClusterView, mine: Member) -> list[Member]:
    return sorted(view.voters, key=lambda m: (m == mine, m.id))


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
