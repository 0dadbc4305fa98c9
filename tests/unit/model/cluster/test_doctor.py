"""What a doctor says of a cluster: cases, each with the one check that is not good and how bad it is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orlop.model.cluster.doctor import ClusterFacts, Grade, MemberFacts, document, examine, lines, worst
from orlop.model.cluster.status import SnapshotStatus

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
MB = 1_000_000
A, B, C = (
    MemberFacts(
        f"n{n}", is_leader=n == 1, bytes=5 * MB, used=3 * MB, fsync=0.004, commit=0.008, clock=0.0, version="3.5.16"
    )
    for n in (1, 2, 3)
)  # fmt: skip
OURS = "the certificate of this server's member"
WELL = ClusterFacts(
    NOW, size=3, members=(A, B, C), quota=2000 * MB,
    certificates=((OURS, NOW + timedelta(days=80)), ("the store's CA", NOW + timedelta(days=3000))),
    snapshots=SnapshotStatus(NOW - timedelta(hours=2), kept=9, every=21600), free=9000 * MB, room=20000 * MB,
)  # fmt: skip
OFF = replace(C, answers=False, fsync=None, commit=None, clock=None, version="", bytes=0, used=0)


def with_c(**changes: Any) -> ClusterFacts:
    return replace(WELL, members=(A, B, replace(C, **changes)))


def snapshots(**changes: Any) -> ClusterFacts:
    return replace(WELL, snapshots=replace(WELL.snapshots, **changes))


def test_sound_cluster_has_a_good_sentence_for_every_check() -> None:
    findings = examine(WELL)
    assert worst(findings) is Grade.GOOD
    assert not any(f.do for f in findings)
    assert [f.check for f in findings] == [
        "quorum", "leader", "members", "lag", "alarms", "space", "disks", "clocks", "certificates", "versions",
        "snapshots", "var",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "bad"),
    [
        (replace(WELL, members=None), {"quorum": Grade.BAD, "leader": Grade.BAD}),
        (replace(WELL, members=(replace(A, is_leader=False), B, C)), {"leader": Grade.BAD}),
        (replace(WELL, members=(A, B, OFF)), {"quorum": Grade.WARN, "members": Grade.WARN}),
        (replace(WELL, members=(A, B, OFF), waiting=1), {"quorum": Grade.WARN, "members": Grade.WARN}),
        (
            replace(WELL, members=(replace(A, is_leader=False), OFF, OFF)),
            {"quorum": Grade.BAD, "leader": Grade.BAD, "members": Grade.WARN},
        ),
        (replace(WELL, members=(A,), size=1), {"quorum": Grade.WARN}),
        (replace(WELL, members=(A, B)), {"quorum": Grade.WARN, "members": Grade.WARN}),
        (replace(WELL, members=(A, B, replace(C, is_learner=True))), {"quorum": Grade.WARN, "members": Grade.WARN}),
        (with_c(behind=6000), {"lag": Grade.WARN}),
        (replace(WELL, alarms=("NOSPACE of n2",)), {"alarms": Grade.BAD}),
        (with_c(bytes=1500 * MB), {"space": Grade.WARN}),
        (with_c(bytes=1900 * MB), {"space": Grade.BAD}),
        (with_c(fsync=0.032), {"disks": Grade.WARN}),
        (with_c(fsync=0.512), {"disks": Grade.BAD}),
        (with_c(commit=0.064), {"disks": Grade.WARN}),
        (with_c(clock=-8.0), {"clocks": Grade.WARN}),
        (with_c(clock=7200.0), {"clocks": Grade.BAD}),
        (replace(WELL, certificates=((OURS, NOW + timedelta(days=20)),)), {"certificates": Grade.WARN}),
        (replace(WELL, certificates=((OURS, NOW),)), {"certificates": Grade.BAD}),
        (replace(WELL, certificates=((OURS, None),)), {"certificates": Grade.WARN}),
        (replace(WELL, certificates=(("the cluster's CA", NOW + timedelta(days=300)),)), {"certificates": Grade.WARN}),
        (with_c(version="3.6.1"), {"versions": Grade.WARN}),
        (with_c(version="3.5.17"), {}),
        (snapshots(at=None), {"snapshots": Grade.WARN}),
        (snapshots(at=NOW - timedelta(hours=13)), {"snapshots": Grade.WARN}),
        (snapshots(at=NOW + timedelta(days=1)), {"snapshots": Grade.WARN}),
        (snapshots(trouble="no snapshot was taken: x"), {"snapshots": Grade.WARN}),
        (snapshots(store_trouble="no snapshot was put into the storage: x"), {"snapshots": Grade.WARN}),
        (replace(WELL, free=800 * MB), {"var": Grade.WARN}),
        (replace(WELL, free=100 * MB), {"var": Grade.BAD}),
        (replace(WELL, free=300 * MB, room=1000 * MB), {}),  # a small disk
        (replace(WELL, others="10.0.0.9 answers for another cluster"), {"strangers": Grade.BAD}),
    ],
)
def test_what_is_not_sound_is_said_with_what_to_do(facts: ClusterFacts, bad: dict[str, Grade]) -> None:
    findings = examine(facts)
    assert {f.check: f.grade for f in findings if f.grade is not Grade.GOOD} == bad
    assert all(bool(f.do) == (f.grade is not Grade.GOOD) for f in findings)
    assert worst(findings) is (Grade.BAD if Grade.BAD in bad.values() else Grade.WARN if bad else Grade.GOOD)


def test_it_is_shown_for_people_and_for_programs() -> None:
    findings = examine(with_c(clock=7200.0))
    shown = list(lines(findings))
    at = next(n for n, line in enumerate(shown) if line.startswith("✗ clocks"))
    assert shown[at].endswith("the clock of n3 is 7200 s ahead of this one's")
    assert shown[at + 1].strip().startswith("→ see that both reach a time server")
    told = json.loads(document(findings))
    assert (told["schema"], told["worst"]) == (1, "bad")
    assert {check["grade"] for check in told["checks"]} == {"good", "bad"}
