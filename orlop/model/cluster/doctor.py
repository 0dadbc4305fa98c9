"""Whether a cluster's store is sound: one sentence a check, and what to do about what is not.

A doctor looks deeper than `orlop cluster`: not only whether it works now, but what will keep it from working. Every
check is a function of what was seen (`ClusterFacts`); what could not be seen is said as such. Pure.

Source of the limits on disks: etcd's guide to tuning and its FAQ (99 of 100 writes to the log within 10 ms, 99 of 100
commits of the database within 25 ms).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from orlop.model.cluster.certificates import MEMBER_LIFE
from orlop.model.cluster.member import quorum
from orlop.model.cluster.snapshots import LATE
from orlop.model.cluster.status import SnapshotStatus
from orlop.model.words.strict import stamp


class Grade(StrEnum):
    """`WARN`: it works, and something will keep it from that."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Diagnosis:
    """`do`: what to do about it; empty when it is good."""

    check: str
    grade: Grade
    said: str
    do: str = ""


@dataclass(frozen=True)
class MemberFacts:
    """A member, as this server sees it. `fsync` and `commit`: seconds within which 99 of 100 were done since its etcd
    was started; `clock`: seconds that its clock is ahead of this server's. None: it does not say.
    """

    name: str
    answers: bool = True
    is_leader: bool = False
    is_learner: bool = False
    behind: int = 0
    bytes: int = 0
    used: int = 0
    fsync: float | None = None
    commit: float | None = None
    clock: float | None = None
    version: str = ""


@dataclass(frozen=True)
class ClusterFacts:
    """`members`: None when no server says who they are. `alarms`: in words, with the member. `certificates`: what each
    is, and when it ends. `free`: bytes of /var on this server, `room` of all of it.
    """

    now: datetime
    size: int = 0
    members: tuple[MemberFacts, ...] | None = None
    waiting: int = 0
    quota: int = 2 << 30
    alarms: tuple[str, ...] = ()
    certificates: tuple[tuple[str, datetime | None], ...] = ()
    snapshots: SnapshotStatus = field(default_factory=SnapshotStatus)
    free: int = 0
    room: int = 0
    others: str = ""  # a server of another cluster, in words


BEHIND = 5000  # entries of the log
SPACE_WARN, SPACE_BAD = 0.7, 0.9  # of the quota
FSYNC_WARN, FSYNC_BAD = 0.010, 0.250  # seconds
COMMIT_WARN, COMMIT_BAD = 0.025, 0.500
CLOCK_WARN, CLOCK_BAD = 5.0, 60.0  # seconds
VAR_WARN, VAR_BAD = 1 << 30, 256 << 20  # bytes free
CA_WARN = timedelta(days=365)


def examine(facts: ClusterFacts) -> list[Diagnosis]:
    """All checks, in their order."""
    checks = (_quorum, _leader, _members, _lag, _alarms, _space, _disks, _clocks, _certificates, _versions, _snapshots,
              _var, _strangers)  # fmt: skip
    return [finding for check in checks for finding in check(facts)]


def worst(findings: list[Diagnosis]) -> Grade:
    order = (Grade.BAD, Grade.WARN)
    return next((grade for grade in order if any(f.grade is grade for f in findings)), Grade.GOOD)


def _voters(facts: ClusterFacts) -> list[MemberFacts]:
    return [m for m in facts.members or () if not m.is_learner]


def _answering(facts: ClusterFacts) -> list[MemberFacts]:
    return [m for m in facts.members or () if m.answers]


def _quorum(facts: ClusterFacts) -> Iterator[Diagnosis]:
    voters = _voters(facts)
    if not voters:
        yield Diagnosis(
            "quorum",
            Grade.BAD,
            "no server with a quorum behind it answers",
            "start the servers that are off; if more than half are lost, restore a snapshot (docs/guide/cluster.md)",
        )
        return
    there, needed = sum(m.answers for m in voters), quorum(len(voters))
    spare = there - needed
    said = f"{there} of {len(voters)} voting members answer, and {needed} are needed"
    if spare < 0:
        yield Diagnosis("quorum", Grade.BAD, said, "start the servers that are off")
    elif len(voters) == 1:
        do = "`orlop cluster size` with 3, and two more servers"
        yield Diagnosis("quorum", Grade.WARN, "there is one member: if its disk is lost, only a snapshot is left", do)
    elif spare == 0:
        yield Diagnosis("quorum", Grade.WARN, f"{said}: none more may be lost", "start the others, or add a server")
    else:
        yield Diagnosis("quorum", Grade.GOOD, f"{said}: {spare} more may be lost")


def _leader(facts: ClusterFacts) -> Iterator[Diagnosis]:
    leader = next((m for m in facts.members or () if m.is_leader), None)
    if leader:
        yield Diagnosis("leader", Grade.GOOD, f"{leader.name} leads")
    else:
        do = "look again in some seconds; if there is none still, look whether servers reach each other on port 2380"
        yield Diagnosis("leader", Grade.BAD, "no member leads: nothing is written", do)


def _members(facts: ClusterFacts) -> Iterator[Diagnosis]:
    if facts.members is None:
        return
    silent = [m.name or "one that has not started" for m in facts.members if not m.answers]
    if silent:
        do = "start it; if it is lost, start another server, which takes its place"
        if facts.waiting:
            do = "if it does not come back, a server that waits takes its place"
        yield Diagnosis("members", Grade.WARN, f"{', '.join(silent)} {_does(silent)} not answer", do)
    elif len(_voters(facts)) != facts.size:
        said = f"the cluster has {len(_voters(facts))} members and is to have {facts.size or 'a number nobody said'}"
        yield Diagnosis("members", Grade.WARN, said, "start another server, or change the number: `orlop cluster size`")
    else:
        waiting = f", and {facts.waiting} more wait for a place" if facts.waiting else ""
        yield Diagnosis("members", Grade.GOOD, f"all {len(facts.members)} members answer{waiting}")


def _does(names: list[str]) -> str:
    return "does" if len(names) == 1 else "do"


def _lag(facts: ClusterFacts) -> Iterator[Diagnosis]:
    if late := [m for m in _answering(facts) if m.behind > BEHIND]:
        said = ", ".join(f"{m.name} is {m.behind} entries behind" for m in late)
        yield Diagnosis("lag", Grade.WARN, said, "look at its disk and its network: it does not keep up")
    elif facts.members:
        yield Diagnosis("lag", Grade.GOOD, "no member is far behind")


def _alarms(facts: ClusterFacts) -> Iterator[Diagnosis]:
    for alarm in facts.alarms:
        do = "the leader's server does what can be done; `orlop cluster status` says what"
        yield Diagnosis("alarms", Grade.BAD, f"the store takes no writes: {alarm}", do)
    if facts.members and not facts.alarms:
        yield Diagnosis("alarms", Grade.GOOD, "there is no alarm")


def _space(facts: ClusterFacts) -> Iterator[Diagnosis]:
    answering = _answering(facts)
    if not answering:
        return
    largest = max(answering, key=lambda m: m.bytes)
    share = largest.bytes / facts.quota
    said = f"the largest database, of {largest.name}, has {_mb(largest.bytes)} of {_mb(facts.quota)}"
    said += f", {_mb(largest.used)} in use"
    if share <= SPACE_WARN:
        yield Diagnosis("space", Grade.GOOD, said)
    else:
        do = "remove what is not needed; what is free in it the servers give back by themselves"
        yield Diagnosis("space", Grade.BAD if share > SPACE_BAD else Grade.WARN, said, do)


def _disks(facts: ClusterFacts) -> Iterator[Diagnosis]:
    slow = False
    kinds = (("its log", "fsync", FSYNC_WARN, FSYNC_BAD), ("its database", "commit", COMMIT_WARN, COMMIT_BAD))
    for member in _answering(facts):
        for what, name, warn, bad in kinds:
            seconds = getattr(member, name)
            if seconds is None or seconds <= warn:
                continue
            slow = True
            said = f"{member.name} needs up to {seconds * 1000:.0f} ms to write {what}, which must be {warn * 1000:.0f}"
            do = "give it a quicker disk, or one that it shares with nobody; a slow one makes leaders change"
            yield Diagnosis("disks", Grade.BAD if seconds > bad else Grade.WARN, said, do)
    if not slow and any(m.fsync is not None for m in _answering(facts)):
        yield Diagnosis("disks", Grade.GOOD, "all disks are quick enough")


def _clocks(facts: ClusterFacts) -> Iterator[Diagnosis]:
    known = [m for m in _answering(facts) if m.clock is not None]
    off = [m for m in known if abs(m.clock or 0.0) > CLOCK_WARN]
    for member in off:
        seconds = member.clock or 0.0
        said = (
            f"the clock of {member.name} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this one's"
        )
        do = "see that both reach a time server: `timedatectl timesync-status`; certificates are judged by clocks"
        yield Diagnosis("clocks", Grade.BAD if abs(seconds) > CLOCK_BAD else Grade.WARN, said, do)
    if known and not off:
        yield Diagnosis("clocks", Grade.GOOD, f"the clocks of {len(known)} servers agree")


def _certificates(facts: ClusterFacts) -> Iterator[Diagnosis]:
    good = True
    for what, ends in facts.certificates:
        is_ca = "CA" in what
        warn = CA_WARN if is_ca else MEMBER_LIFE / 3
        do = "a CA is not renewed by itself: make a new cluster, and restore a snapshot into it"
        if not is_ca:
            do = "`journalctl -u orlop-cluster` says why it was not made anew"
        if ends is None:
            good = False
            yield Diagnosis("certificates", Grade.WARN, f"when {what} ends is not known", do)
        elif ends <= facts.now + warn:
            good = False
            over = ends <= facts.now
            said = f"{what} {'ended' if over else 'ends'} at {stamp(ends)}"
            yield Diagnosis("certificates", Grade.BAD if over else Grade.WARN, said, do)
    if good and facts.certificates:
        first = min(ends for _, ends in facts.certificates if ends)
        yield Diagnosis("certificates", Grade.GOOD, f"the first to end does so at {stamp(first)}")


def _versions(facts: ClusterFacts) -> Iterator[Diagnosis]:
    versions = sorted({m.version for m in _answering(facts) if m.version})
    if len(versions) > 1:
        minors = {version.rpartition(".")[0] for version in versions}
        do = "update the servers that are behind: all must have one version before the next"
        grade = Grade.WARN if len(minors) > 1 else Grade.GOOD
        said = f"members have etcd {' and '.join(versions)}"
        yield Diagnosis("versions", grade, said, do if grade is Grade.WARN else "")
    elif versions:
        yield Diagnosis("versions", Grade.GOOD, f"all members have etcd {versions[0]}")


def _snapshots(facts: ClusterFacts) -> Iterator[Diagnosis]:
    snapshots = facts.snapshots
    late = timedelta(seconds=snapshots.every * LATE)
    for trouble in filter(None, (snapshots.trouble, snapshots.store_trouble)):
        yield Diagnosis("snapshots", Grade.WARN, trouble, "`journalctl -u orlop-cluster` says more; it is tried again")
    if snapshots.at is None:
        do = "it takes one as soon as it has a member that votes; `orlop cluster backup` takes one now"
        yield Diagnosis("snapshots", Grade.WARN, "this server has no snapshot of the store", do)
        return
    age = facts.now - snapshots.at
    said = f"the last snapshot on this server is of {stamp(snapshots.at)}, and {snapshots.kept} are kept"
    if age < -timedelta(minutes=5):
        yield Diagnosis("snapshots", Grade.WARN, f"{said}: it is of the future", "look at the clocks of the servers")
    elif snapshots.every and age > late:
        yield Diagnosis(
            "snapshots", Grade.WARN, f"{said}: another one is overdue", "`orlop cluster backup` takes one now"
        )
    else:
        yield Diagnosis("snapshots", Grade.GOOD, said)


def _var(facts: ClusterFacts) -> Iterator[Diagnosis]:
    if not facts.room:
        return
    said = f"/var on this server has {_mb(facts.free)} of {_mb(facts.room)} free"
    # a small disk is judged by its share
    if facts.free < min(VAR_BAD, facts.room // 20):
        yield Diagnosis("var", Grade.BAD, said, "make room: without it this server's member ends")
    elif facts.free < min(VAR_WARN, facts.room // 5):
        yield Diagnosis("var", Grade.WARN, said, "make room before it is full")
    else:
        yield Diagnosis("var", Grade.GOOD, said)


def _strangers(facts: ClusterFacts) -> Iterator[Diagnosis]:
    if facts.others:
        do = "only one of them may be: stop the other, or give it another name and other addresses"
        yield Diagnosis("strangers", Grade.BAD, facts.others, do)


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def document(findings: list[Diagnosis]) -> str:
    """As JSON."""
    return json.dumps({"schema": 1, "worst": worst(findings), "checks": [asdict(f) for f in findings]}, indent=1) + "\n"


def lines(findings: list[Diagnosis]) -> Iterator[str]:
    """For people."""
    marks = {Grade.GOOD: "✓", Grade.WARN: "!", Grade.BAD: "✗"}
    for finding in findings:
        yield f"{marks[finding.grade]} {finding.check:<12} {finding.said}"
        if finding.do:
            yield f"{'':<15}→ {finding.do}"
