"""Users and groups of a root: passwd(5), group(5), shadow(5), and the SSH keys Ignition gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orlop.simulate.snapshot import Snapshot, file_text

KEYS = ".ssh/authorized_keys.d/ignition"


@dataclass(frozen=True)
class SimulatedUser:
    """`group`: the main group; `groups`: the others, sorted; `password`: set, locked or none; `keys`: how many."""

    name: str
    uid: int
    group: str
    groups: tuple[str, ...]
    gecos: str
    home: str
    shell: str
    password: str
    keys: int


@dataclass(frozen=True)
class SimulatedGroup:
    name: str
    gid: int
    members: tuple[str, ...]


def groups(root: Snapshot) -> dict[str, SimulatedGroup]:
    return {
        name: SimulatedGroup(name, int(gid), tuple(sorted(filter(None, members.split(",")))))
        for name, _, gid, members in _rows(root, "/etc/group", 4)
        if gid.isdigit()
    }


def users(root: Snapshot) -> dict[str, SimulatedUser]:
    by_name = groups(root)
    by_gid = {str(g.gid): g.name for g in by_name.values()}
    passwords = {row[0]: row[1] for row in _rows(root, "/etc/shadow", 9)}
    accounts = {}
    for name, _, uid, gid, gecos, home, shell in _rows(root, "/etc/passwd", 7):
        if not uid.isdigit():
            continue
        others = tuple(sorted(g.name for g in by_name.values() if name in g.members))
        keys = file_text(root, f"{home.rstrip('/')}/{KEYS}").splitlines()
        accounts[name] = SimulatedUser(
            name,
            int(uid),
            by_gid.get(gid, gid),
            others,
            gecos,
            home,
            shell,
            _password(passwords.get(name, "*")),
            sum(1 for line in keys if line.strip() and not line.startswith("#")),
        )
    return accounts


def _password(field: str) -> str:
    if not field:
        return "none"
    return "locked" if field[0] in "*!" else "set"


def _rows(root: Snapshot, path: str, columns: int) -> Iterator[list[str]]:
    for line in file_text(root, path).splitlines():
        row = line.split(":")
        if len(row) == columns:
            yield row
