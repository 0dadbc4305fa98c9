"""One minor at a time, all members before the next, and never back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.cluster.upgrade import EtcdVersion, upgrade_trouble

V = EtcdVersion.parse
VERSIONS = st.builds(EtcdVersion, st.just(3), st.integers(4, 8), st.integers(0, 3))


@pytest.mark.parametrize(
    ("members", "target", "why"),
    [
        ("3.5.16 3.5.16 3.5.16", "3.5.21", ""),
        ("3.5.21 3.5.16 3.5.16", "3.5.16", ""),  # patches go either way
        ("3.5.16 3.5.16 3.5.16", "3.6.4", ""),
        ("3.6.4 3.5.16 3.5.16", "3.6.4", ""),
        ("3.6.4 3.6.4 3.5.16", "3.5.16", ""),  # the store still speaks 3.5
        ("3.6.4 3.6.4 3.6.4", "3.5.16", "cannot go back"),
        ("3.5.16 3.5.16 3.5.16", "3.7.0", "one minor version at a time: from 3.5 to 3.6"),
        ("3.6.4 3.6.4 3.5.16", "3.7.0", "not all members have etcd 3.6 yet"),
        ("3.6.4 3.6.4 3.6.4", "3.7.0", ""),
        ("3.6.4 3.6.4 3.6.4", "4.0.0", "another major version"),
        ("", "3.7.0", ""),
    ],
)
def test_the_rules(members: str, target: str, why: str) -> None:
    found = upgrade_trouble(map(V, members.split()), V(target))
    assert (why in found) if why else not found, found


@given(st.lists(VERSIONS, min_size=3, max_size=3), st.lists(st.tuples(st.integers(0, 2), VERSIONS), max_size=30))
def test_whatever_is_tried_members_are_never_two_minors_apart(
    begun: list[EtcdVersion], tries: list[tuple[int, EtcdVersion]]
) -> None:
    members = [EtcdVersion(3, 5, v.patch) for v in begun]
    spoken = (3, 5)
    for which, target in tries:
        if not upgrade_trouble(members, target):
            members[which] = target
        lines = sorted(m.line for m in members)
        spoken = max(spoken, lines[0])
        assert lines[-1][1] - lines[0][1] <= 1
        assert lines[0] >= spoken, "a member cannot join a store that speaks a higher version"


@given(VERSIONS)
def test_a_version_is_read_as_it_is_said(version: EtcdVersion) -> None:
    assert V(str(version)) == V(f"{version}-4") == version


@pytest.mark.parametrize("text", ["", "3.5", "v3.5.1", "3.5.1.2", "3.٥.1", "3.5.x"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(BadInput):
        V(text)
