"""What differs between two roots is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.simulate.changes import ChangeKind, changes, unified
from orlop.simulate.snapshot import RootEntry
from tests.unit.simulate.roots import file, folder, link, root

PATHS = st.sampled_from(["/etc", "/etc/a", "/etc/a-b", "/etc/a/b", "/var", "/var/x"])
ENTRIES = st.one_of(
    st.builds(folder, PATHS, st.sampled_from([0o755, 0o700])),
    st.builds(file, PATHS, st.sampled_from(["", "x", "y\n"]), st.sampled_from([0o644, 0o600]), st.integers(0, 1)),
    st.builds(link, PATHS, st.sampled_from(["a", "b"])),
)
ROOTS = st.lists(ENTRIES, max_size=6).map(lambda entries: root(*entries))


@given(ROOTS, ROOTS)
def test_changes_lead_from_one_root_to_the_other(before: dict[str, RootEntry], after: dict[str, RootEntry]) -> None:
    made = dict(before)
    for change in changes(before, after):
        made.pop(change.path, None)
        if change.after is not None:
            made[change.path] = change.after
    assert made == after
    assert changes(after, after) == []


@given(ROOTS, ROOTS)
def test_the_other_way_is_the_other_way(before: dict[str, RootEntry], after: dict[str, RootEntry]) -> None:
    turned = {
        ChangeKind.ADDED: ChangeKind.REMOVED,
        ChangeKind.REMOVED: ChangeKind.ADDED,
        ChangeKind.CHANGED: ChangeKind.CHANGED,
    }
    there, back = changes(before, after), changes(after, before)
    assert [(c.path, turned[c.how], c.why) for c in there] == [(c.path, c.how, c.why) for c in back]


A = file("/a", "x\n")


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (file("/a", "y\n"), ("contents",)),
        (file("/a", "x\n", 0o600), ("mode",)),
        (file("/a", "x\n", uid=1), ("owner",)),
        (file("/a", "z", 0o600, gid=1), ("mode", "owner", "contents")),
        (replace(A, same="/b"), ("target",)),
        (replace(A, source=("https://x",)), ("contents",)),
        (folder("/a"), ("kind",)),
    ],
)
def test_why(now: RootEntry, why: tuple[str, ...]) -> None:
    (change,) = changes(root(A), root(now))
    assert (change.how, change.why) == (ChangeKind.CHANGED, why)


def test_unified() -> None:
    (change,) = changes(root(A), root(file("/a", "x\ny")))
    assert unified(change, ("old", "new")) == (
        "--- old/a\n+++ new/a\n@@ -1 +1,2 @@\n x\n+y\n\\ No newline at end of file\n"
    )
    (added,) = changes({}, root(A))
    assert unified(added, ("old", "new")) == "--- /dev/null\n+++ new/a\n@@ -0,0 +1 @@\n+x\n"


@pytest.mark.parametrize("other", [file("/a", "\0"), replace(A, source=("u",)), file("/a", "x\n", 0o600), folder("/a")])
def test_no_text_no_diff(other: RootEntry) -> None:
    (change,) = changes(root(A), root(other))
    assert unified(change, ("old", "new")) is None
