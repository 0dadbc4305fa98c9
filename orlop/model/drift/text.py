"""Snapshots and differences as text: JSON between programs, lines for people.

JSON is parsed here, once, into valid values; a number says which shape it has, so that an image and the command of an
operator that are of different age refuse each other in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from orlop.errors import BadInput
from orlop.model.drift.difference import Difference, DriftKind, Origin, Owner, TreeEntry, TreeSnapshot, What
from orlop.model.drift.readings import Group, User

if TYPE_CHECKING:
    from orlop.model.words.strict import Fields

SCHEMA = 1
MAX_BYTES = 64 << 20  # of a snapshot: a machine has some hundred kB
MAX_DIFFERENCES = 1 << 20
T = TypeVar("T")
MARKS = {What.ADDED: "+", What.REMOVED: "-"}


def snapshot_text(snapshot: TreeSnapshot) -> str:
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


def _entry(entry: TreeEntry) -> list[str | int]:
    short: list[str | int] = [entry.kind, entry.mode, entry.uid, entry.gid]
    if entry.kind is DriftKind.FILE:
        short += [entry.size, entry.sha256]
    if entry.kind is DriftKind.LINK:
        short += [entry.target]
    return short


def _plain(user: User) -> list[str]:
    return [user.uid, user.gid, user.gecos, user.home, user.shell, user.password, user.mark]


def parse_snapshot(text: str | bytes, what: str) -> TreeSnapshot:
    """The inverse of `snapshot_text`. `what` names the text in errors. Raises BadInput."""

    def build(about: Fields) -> TreeSnapshot:
        users, groups = _rows(about, "users", 7), _rows(about, "groups", 1, 1 << 16)
        owners = _rows(about, "owners", 2)
        return TreeSnapshot(
            entries={_path(path): _parse_entry(row) for path, row in _rows(about, "entries", 4, 6).items()},
            users={name: User(*map(_text, row)) for name, row in users.items()},
            groups={name: Group(_text(row[0]), tuple(map(_text, row[1:]))) for name, row in groups.items()},
            kernel_arguments=tuple(about.texts("kernel_arguments", must=True)),
            sealed=about.value("sealed", bool),
            owners={_path(path): Owner(Origin(origin), _text(at)) for path, (origin, at) in owners.items()},
        )

    return _parse(text, what, build)


def _rows(about: Fields, key: str, least: int, most: int = 0) -> dict[str, list[Any]]:
    """Lists of so many values, by name."""
    rows = about.fields(key)
    lists = {name: rows.value(name, list) for name in rows.values}
    for name, row in lists.items():
        if not least <= len(row) <= (most or least):
            raise ValueError(f"{rows.at(name)} has {len(row)} values")
    return lists


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not an absolute path")
    return path


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} must be text")  # noqa: TRY004 - of a document, not of a program
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} must be a whole number")
    return value


def _parse_entry(row: list[Any]) -> TreeEntry:
    kind, rest = DriftKind(row[0]), row[4:]
    mode, uid, gid = map(_number, row[1:4])
    match kind, rest:
        case DriftKind.FILE, [size, sha256]:
            return TreeEntry(DriftKind.FILE, mode, uid, gid, size=_number(size), sha256=_text(sha256))
        case DriftKind.LINK, [target]:
            return TreeEntry(DriftKind.LINK, mode, uid, gid, target=_text(target))
        case (DriftKind.DIR | DriftKind.OTHER) as plain, []:
            return TreeEntry(plain, mode, uid, gid)
        case _:
            raise ValueError(f"{kind} with {len(rest)} further values")


def differences_text(differences: Iterable[Difference]) -> str:
    """What `orlop node diff --json` prints: {"schema", "drift", "differences": [{path, what, …}]}."""
    listed = [{k: v for k, v in vars(d).items() if v is not None} for d in differences]
    return json.dumps({"schema": SCHEMA, "drift": bool(listed), "differences": listed}, indent=1)


def parse_differences(text: str | bytes, what: str) -> list[Difference]:
    """The inverse of `differences_text`. Raises BadInput."""

    def build(about: Fields) -> list[Difference]:
        return [
            Difference(
                path=d.value("path", str),
                what=What(d.value("what", str)),
                origin=Origin(d.value("origin", str)) if d.has("origin") else None,
                **{name: d.value(name, str) for name in ("expected", "found", "name", "cause", "hint")},
            )
            for d in about.items("differences", MAX_DIFFERENCES)
        ]

    return _parse(text, what, build)


def _parse(text: str | bytes, what: str, build: Callable[[Fields], T]) -> T:
    from orlop.model.words.strict import Fields, Wrong, parse_json  # not for the initrd, which only writes

    raw = text.encode(errors="replace") if isinstance(text, str) else text
    try:
        about = Fields.of("", parse_json(raw, MAX_BYTES))
        schema = about.value("schema", int)
        if schema == SCHEMA:
            return build(about)
    except (ValueError, Wrong) as e:
        hint = "reboot the machine: it is written anew at every boot"
        raise BadInput(f"{what} cannot be read: {e}", hint=hint) from None
    raise BadInput(
        f"{what} is of schema {schema}, this command reads {SCHEMA}",
        hint="use the orlop command of the machine's version",
    )


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
