"""What `orlop cluster doctor` looks at, on a server: members, their figures, certificates, snapshots, this /var.

It asks as orlop-cluster does, and changes nothing. Who does not answer has no figures, which is said.
"""

from __future__ import annotations

import re
import shutil
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from orlop.cluster.settings import ClusterSettings, certificate
from orlop.errors import BadInput, OrlopError
from orlop.model.cluster.doctor import ClusterFacts, MemberFacts
from orlop.model.cluster.environment import QUOTA_BYTES
from orlop.model.cluster.member import Member, Myself
from orlop.model.cluster.names import CA_PLACE, PEER_PORT, STATUS, STORE_CA_PLACE, url
from orlop.model.cluster.status import SnapshotStatus, parse
from orlop.node.cluster import memory as memories
from orlop.node.cluster import tls
from orlop.node.cluster.etcd import Endpoint
from orlop.node.cluster.host import ServerHost, addresses, own_address
from orlop.node.cluster.look import Look, Looker, host_of

FSYNC, COMMIT = "etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds"
SHARE = 0.99
_LARGEST_CLOCK = timedelta(seconds=1)  # a member says whole seconds


def gather(host: ServerHost, settings: ClusterSettings) -> ClusterFacts:
    """Raises OrlopError when this server cannot ask anybody."""
    now = datetime.now(UTC)
    context = tls.context(host.tls)
    remembered = memories.read(host.state)
    configured = addresses(settings.servers)
    address = settings.address or own_address(configured)
    others = [each for each in dict.fromkeys((*configured, *remembered.hosts)) if each != address]
    me = Myself(host.machine(), url(address, PEER_PORT), has_data=host.has_data(), cluster=remembered.cluster)
    look = Looker().look(me, others, context, 0)
    members = look.view.members
    facts = ClusterFacts(
        now=now,
        size=look.view.size,
        members=None if members is None else tuple(_member(m, look, context) for m in members),
        waiting=sum(not any(m.is_of(c, "") for m in members or ()) for c in look.view.candidates),
        quota=QUOTA_BYTES,
        alarms=tuple(f"{alarm.kind} of {_called(alarm.member, members or ())}" for alarm in sorted(look.view.alarms)),
        certificates=_certificates(host),
        snapshots=_snapshots(host),
        others=f"{look.view.stranger} answers for another cluster with the same keys" if look.view.stranger else "",
    )
    with suppress(OSError):
        usage = shutil.disk_usage(host.path("/var"))
        facts = replace(facts, free=usage.free, room=usage.total)
    return facts


def _called(member: int, members: tuple[Member, ...]) -> str:
    return next((m.called for m in members if m.id == member), f"member {member:x}, which is out")


def _member(member: Member, look: Look, context: ssl.SSLContext) -> MemberFacts:
    said = look.said.get(member.id)
    if said is None:
        return MemberFacts(member.name, answers=False, is_learner=member.is_learner)
    figures: Mapping[str, float | None] = {}
    with suppress(OrlopError):
        figures = slowest(Endpoint(host_of(member), context).metrics())
    clock = None
    if said.clock is not None and said.asked is not None:
        # it was within the second that it says, and the answer was on its way meanwhile
        off = said.clock - said.asked
        clock = 0.0 if abs(off) <= _LARGEST_CLOCK else off.total_seconds()
    return MemberFacts(
        name=member.name,
        is_leader=member.id == look.view.leader,
        is_learner=member.is_learner,
        behind=max(0, max(s.applied for s in look.said.values()) - said.applied),
        bytes=said.bytes,
        used=said.bytes_used,
        fsync=figures.get(FSYNC),
        commit=figures.get(COMMIT),
        clock=clock,
        version=said.version,
    )


def slowest(text: str) -> dict[str, float | None]:
    """Within how many seconds 99 of 100 writes were done, by the name of the histogram; None when there were none."""
    return {name: _within(text, name) for name in (FSYNC, COMMIT)}


def _within(text: str, name: str) -> float | None:
    found = re.findall(rf'^{name}_bucket\{{le="([^"]+)"\}} ([0-9.e+]+)$', text, re.MULTILINE)
    try:
        buckets = sorted((float(le), float(count)) for le, count in found)
    except ValueError:
        return None
    if not buckets or not (total := buckets[-1][1]):
        return None
    finite = [le for le, _ in buckets[:-1]]
    within = next(le for le, count in buckets if count >= SHARE * total)
    return within if within in finite or not finite else 2 * finite[-1]


def _certificates(host: ServerHost) -> tuple[tuple[str, datetime | None], ...]:
    found = [("the certificate of this server's member", tls.ends(host.tls))]
    for what, place in (("the cluster's CA", CA_PLACE), ("the store's CA", STORE_CA_PLACE)):
        try:
            found.append((what, tls.end_of(certificate(place, host.top))))
        except OrlopError:
            found.append((what, None))
    return tuple(found)


def _snapshots(host: ServerHost) -> SnapshotStatus:
    """As orlop-cluster wrote it down last."""
    try:
        return parse(host.path(STATUS).read_bytes()).snapshots
    except (OSError, BadInput):
        return SnapshotStatus(trouble="orlop-cluster has not said how its snapshots are since it was started")
