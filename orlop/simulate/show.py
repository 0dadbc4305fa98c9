"""A simulated machine for people, and as JSON. Marks: `+` new, `~` other than in the image, `-` gone."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from orlop.simulate.accounts import SimulatedGroup, SimulatedUser, groups, users
from orlop.simulate.changes import ChangeKind, RootChange
from orlop.simulate.machine import SimulatedMachine
from orlop.simulate.plan import ForeseenFetch
from orlop.simulate.snapshot import PathKind, RootEntry
from orlop.simulate.units import Unit

MARKS = {ChangeKind.ADDED: "+", ChangeKind.CHANGED: "~", ChangeKind.REMOVED: "-"}
_LETTERS = {PathKind.FILE: "-", PathKind.FOLDER: "d", PathKind.LINK: "l", PathKind.OTHER: "?"}
NO_CHANGE = "nothing is other than in the image"
FETCHED = "fetched when the machine boots, not here"
DISKS = "disks, which are left alone here"

T = TypeVar("T")


Owners = Callable[[RootEntry], str]


def owners(machine: SimulatedMachine) -> Owners:
    """Names of owners, by the root's own tables; numbers where they have none."""
    by_uid = {u.uid: u.name for u in users(machine.root).values()}
    by_gid = {g.gid: g.name for g in groups(machine.root).values()}
    return lambda entry: f"{by_uid.get(entry.uid, entry.uid)}:{by_gid.get(entry.gid, entry.gid)}"


def text(machine: SimulatedMachine) -> str:
    """All of it, with an empty line between the parts."""
    return joined(
        [
            [f"{machine.name} on image {machine.image}"],
            titled("files", tree(machine.changes, owners(machine)) or [NO_CHANGE]),
            titled("users", accounts(machine.users, user_line)),
            titled("groups", accounts(machine.groups, group_line)),
            titled("units", [unit_line(unit) for unit in machine.units]),
            titled("kernel arguments", kernel_lines(machine)),
            titled(FETCHED, [fetch_line(fetch) for fetch in machine.plan.fetches]),
            titled(DISKS, list(machine.plan.disks)),
        ]
    )


def joined(parts: list[list[str]]) -> str:
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def kernel_lines(machine: SimulatedMachine) -> list[str]:
    return [f"+ {a}" for a in machine.plan.kernel_add] + [f"- {a}" for a in machine.plan.kernel_remove]


def accounts(pairs: Mapping[str, tuple[T | None, T | None]], say: Callable[[T | None, T | None], str]) -> list[str]:
    return [say(before, after) for before, after in pairs.values()]


def titled(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {printable(line)}" for line in lines)] if lines else []


def printable(line: str) -> str:
    """Names may hold anything; a terminal gets what it can show."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in line)


def tree(changes: Sequence[RootChange], names: Owners) -> list[str]:
    """What changed, under the folders it is in: mark, mode, owner, size, name."""
    rows: list[tuple[str, str, str, str, str]] = []
    shown: set[str] = set()
    for change in changes:
        for folder in _above(change.path):
            if folder not in shown:
                shown.add(folder)
                rows.append(("", "", "", "", _name(folder) + "/"))
        shown.add(change.path)
        rows.append(_row(change, names))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return [
        f"{mark:<{widths[0]}} {mode:<{widths[1]}} {owner:<{widths[2]}} {size:>{widths[3]}} {name}".rstrip()
        for mark, mode, owner, size, name in rows
    ]


def _above(path: str) -> list[str]:
    """The folders that lead to `path`, outermost first, without the root."""
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))]


def _name(path: str) -> str:
    """The last part, indented by depth; the outermost with its slash."""
    depth = path.strip("/").count("/")
    return "  " * depth + ("/" if depth == 0 else "") + posixpath.basename(path)


def _row(change: RootChange, names: Owners) -> tuple[str, str, str, str, str]:
    entry = change.entry
    name = "/" if entry.path == "/" else _name(entry.path) + ("/" if entry.kind is PathKind.FOLDER else "")
    if entry.target:
        name += f" → {entry.target}"
    if entry.same:
        name += f" = {entry.same}"
    if entry.source:
        name += " ← " + " ".join(entry.source)
    if change.why and change.why != ("contents",):
        name += f"  ({', '.join(change.why)})"
    size = _size(entry.size) if entry.kind is PathKind.FILE else ""
    return MARKS[change.how], mode(entry), names(entry), "?" if entry.source else size, name


def mode(entry: RootEntry) -> str:
    """As `ls -l` has it."""
    bits = "".join(c if entry.mode & (0o400 >> n) else "-" for n, c in enumerate("rwxrwxrwx"))
    special = ((0o4000, 2, "s"), (0o2000, 5, "s"), (0o1000, 8, "t"))
    for flag, at, letter in special:
        if entry.mode & flag:
            bits = bits[:at] + (letter if bits[at] == "x" else letter.upper()) + bits[at + 1 :]
    return _LETTERS[entry.kind] + bits


def _size(size: int) -> str:
    if size < 10_000:
        return f"{size} B"
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def user_line(before: SimulatedUser | None, after: SimulatedUser | None) -> str:
    if after is None:
        return f"- {before.name if before else ''}"
    facts = _facts(after)
    if before is None:
        words = [f"{name} {value}" for name, value in facts.items() if value]
    else:
        old = _facts(before)
        words = [f"{name} {value or 'none'}" for name, value in facts.items() if value != old[name]]
    return f"{'~' if before else '+'} {after.name}: {', '.join(words)}"


def _facts(user: SimulatedUser) -> dict[str, str]:
    return {
        "uid": str(user.uid),
        "group": user.group,
        "groups": " ".join(user.groups),
        "home": user.home,
        "shell": user.shell,
        "password": user.password,
        "SSH keys": str(user.keys),
        "name": user.gecos,
    }


def group_line(before: SimulatedGroup | None, after: SimulatedGroup | None) -> str:
    if after is None:
        return f"- {before.name if before else ''}"
    members = f", members {' '.join(after.members)}" if after.members else ""
    return f"{'~' if before else '+'} {after.name}: gid {after.gid}{members}"


def unit_line(unit: Unit) -> str:
    origin = "of the image" if unit.origin == "image" and unit.state != "missing" else ""
    if unit.made_from:
        origin = f"made from {unit.made_from}"
    dropins = f"with {', '.join(unit.dropins)}" if unit.dropins else ""
    words = ", ".join(filter(None, [unit.state, origin, dropins]))
    return f"{unit.name}: {words}"


def fetch_line(fetch: ForeseenFetch) -> str:
    return f"{fetch.url} → {fetch.what}, {fetch.verification or 'whatever it holds: no hash is given'}"


def document(machine: SimulatedMachine) -> dict[str, Any]:
    """The same for programs."""
    return {
        "config": machine.name,
        "image": machine.image,
        "entries": [change_document(change) for change in machine.changes],
        "users": pairs_document(machine.users),
        "groups": pairs_document(machine.groups),
        "units": [asdict(unit) for unit in machine.units],
        "kernel_arguments": {"add": machine.plan.kernel_add, "remove": machine.plan.kernel_remove},
        "fetches": [asdict(fetch) for fetch in machine.plan.fetches],
        "disks": machine.plan.disks,
        "notes": machine.notes,
    }


def change_document(change: RootChange) -> dict[str, Any]:
    return {
        "path": change.path,
        "change": change.how.value,
        "why": change.why,
        "before": _entry(change.before),
        "after": _entry(change.after),
    }


def _entry(entry: RootEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "kind": entry.kind.value,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "size": None if entry.source else entry.size,
        "target": entry.target or None,
        "same_as": entry.same or None,
        "sha256": None if entry.source else entry.digest or None,
        "sources": entry.source,
    }


def pairs_document(pairs: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "before": asdict(a) if a else None, "after": asdict(b) if b else None}
        for name, (a, b) in pairs.items()
    ]
