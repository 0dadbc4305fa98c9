"""What differs between two roots: paths that came, went, or are not as they were, each with the reason."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from orlop.simulate.snapshot import RootEntry, Snapshot


class ChangeKind(Enum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class RootChange:
    """`why`: of a changed entry, what of it is other: kind, mode, owner, target, contents."""

    path: str
    how: ChangeKind
    before: RootEntry | None
    after: RootEntry | None
    why: tuple[str, ...] = ()

    @property
    def entry(self) -> RootEntry:
        """As it is now; as it was, if it is gone."""
        either = self.after or self.before
        assert either is not None
        return either


def changes(before: Snapshot, after: Snapshot) -> list[RootChange]:
    """In the order of paths, folders before what is in them."""
    all_changes = []
    for path in sorted({*before, *after}, key=lambda p: p.split("/")):
        old, new = before.get(path), after.get(path)
        if old is None:
            all_changes.append(RootChange(path, ChangeKind.ADDED, None, new))
        elif new is None:
            all_changes.append(RootChange(path, ChangeKind.REMOVED, old, None))
        elif why := differences(old, new):
            all_changes.append(RootChange(path, ChangeKind.CHANGED, old, new, tuple(why)))
    return all_changes


def differences(old: RootEntry, new: RootEntry) -> Iterable[str]:
    """What of two entries at the same path is other. Sizes of folders mean nothing."""
    if old.kind is not new.kind:
        return ["kind"]
    pairs = (
        ("mode", old.mode, new.mode),
        ("owner", (old.uid, old.gid), (new.uid, new.gid)),
        ("target", (old.target, old.same), (new.target, new.same)),
        ("contents", (old.digest, old.source), (new.digest, new.source)),
    )
    return [name for name, a, b in pairs if a != b]


def unified(change: RootChange, names: tuple[str, str]) -> str | None:
    """The change of a text file as a unified diff; None where there is no text, or what it would be is not known."""
    sides = [e for e in (change.before, change.after) if e is not None]
    if any(e.text is None or e.source for e in sides) or (change.why and "contents" not in change.why):
        return None
    old = (change.before.text or "") if change.before else ""
    new = (change.after.text or "") if change.after else ""
    a = f"{names[0]}{change.path}" if change.before else "/dev/null"
    b = f"{names[1]}{change.path}" if change.after else "/dev/null"
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), a, b)
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
