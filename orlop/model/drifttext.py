"""Snapshots and differences as text: JSON between programs, lines for people.

JSON is parsed here, once, into valid values; a number says which shape it has, so that an image and the command of an
operator that are of different age refuse each other in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from orlop.errors import BadInput
from orlop.model.drift import Difference, Entry, Kind, Origin, Owner, Snapshot, What
from orlop.model.readings import Group, User

SCHEMA = 1
T = TypeVar("T")
MARKS = {What.ADDED: "+", What.REMOVED: "-"}


def snapshot_text(snapshot: Snapshot) -> str:
    return json.dumps(
        {
            "schema": SCHEMA,
            "sealed": snapshot.sealed,
            "kernel_arguments": snapshot.kernel_arguments,
            "entries": {path: _entry(entry) for path, entry in sorted(snapshot.entries.items())},
            "owners": {path: [o.origin, o.setting] for path, o in sorted(snapshot.owners.items())},
            "users": {name: _plain(user) for name, user in sorted(snapshot.users.items())},
            "groups": {name: [g.gid, *g.members] for name, g in sorted(snapshot.groups.items())},
        },
        separators=(",", ":"),
    )


def _entry(entry: Entry) -> list[str | int]:
    short: list[str | int] = [entry.kind, entry.mode, entry.uid, entry.gid]
    if entry.kind is Kind.FILE:
        short += [entry.size, entry.sha256]
    if entry.kind is Kind.LINK:
        short += [entry.target]
    return short


def _plain(user: User) -> list[str]:
    return [user.uid, user.gid, user.gecos, user.home, user.shell, user.password, user.mark]


def parse_snapshot(text: str | bytes, what: str) -> Snapshot:
    """The inverse of `snapshot_text`. `what` names the text in errors. Raises BadInput."""

    def build(about: Mapping[str, Any]) -> Snapshot:
        return Snapshot(
            entries={_path(path): _parse_entry(*fields) for path, fields in about["entries"].items()},
            users={str(name): User(*map(str, fields)) for name, fields in about["users"].items()},
            groups={str(name): Group(str(f[0]), tuple(map(str, f[1:]))) for name, f in about["groups"].items()},
            kernel_arguments=tuple(map(str, about["kernel_arguments"])),
            sealed=bool(about["sealed"]),
            owners={_path(path): Owner(Origin(f[0]), str(f[1])) for path, f in about["owners"].items()},
        )

    return _parse(text, what, build)


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is no absolute path")
    return path


def _parse_entry(kind: str, mode: int, uid: int, gid: int, *rest: Any) -> Entry:
    numbers = int(mode), int(uid), int(gid)
    match Kind(kind), rest:
        case Kind.FILE, (size, sha256):
            return Entry(Kind.FILE, *numbers, size=int(size), sha256=str(sha256))
        case Kind.LINK, (target,):
            return Entry(Kind.LINK, *numbers, target=str(target))
        case (Kind.DIR | Kind.OTHER) as plain, ():
            return Entry(plain, *numbers)
        case _:
            raise ValueError(f"{kind} with {len(rest)} further values")


def differences_text(differences: Iterable[Difference]) -> str:
    """What `orlop node diff --json` prints: {"schema", "drift", "differences": [{path, what, …}]}."""
    listed = [{k: v for k, v in vars(d).items() if v is not None} for d in differences]
    return json.dumps({"schema": SCHEMA, "drift": bool(listed), "differences": listed}, indent=1)


def parse_differences(text: str | bytes, what: str) -> list[Difference]:
    """The inverse of `differences_text`. Raises BadInput."""

    def build(about: Mapping[str, Any]) -> list[Difference]:
        return [
            Difference(
                path=str(d["path"]),
                what=What(d["what"]),
                origin=Origin(d["origin"]) if "origin" in d else None,
                **{name: str(d[name]) for name in ("expected", "found", "name", "cause", "hint")},
            )
            for d in about["differences"]
        ]

    return _parse(text, what, build)


def _parse(text: str | bytes, what: str, build: Callable[[Mapping[str, Any]], T]) -> T:
    hint = "reboot the machine: it is written anew at every boot"
    try:
        about = json.loads(text)
        if about["schema"] != SCHEMA:
            raise BadInput(
                f"{what} is of schema {about['schema']}, this command reads {SCHEMA}",
                hint="use the orlop command of the machine's version",
            )
        return build(about)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise BadInput(f"{what} cannot be read: {type(e).__name__}: {e}", hint=hint) from None


def lines(differences: Iterable[Difference]) -> Iterator[str]:
    """A few lines for each difference: what and where, from what to what, and why; then what can be done."""
    hints: dict[str, int] = {}
    for d in differences:
        hints[d.hint] = hints.get(d.hint, 0) + 1
        name = f" {d.name}" if d.name else ""
        whose = f" ({d.origin})" if d.origin else ""
        yield f"{MARKS.get(d.what, '~')} {d.what}{name}: {d.path}{whose}"
        match d.expected, d.found:
            case "", "":
                pass
            case "", found:
                yield f"    there is     {found}"
            case expected, "":
                yield f"    there was    {expected}"
            case expected, found:
                yield f"    should be    {expected}"
                yield f"    but is       {found}"
        if d.cause:
            yield f"    cause        {d.cause}"
    for hint, count in hints.items():
        yield f"next ({count}): {hint}"
