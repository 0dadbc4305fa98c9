"""What some files of a machine mean: accounts, and which units are enabled or masked.

Formats: passwd(5), shadow(5), group(5), gshadow(5), systemd.unit(5). Text in, values out; a line that cannot be read is
left to the comparison of the file's content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

PASSWD, SHADOW, GROUP, GSHADOW = "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"
UNITS = "/etc/systemd/system"
# set by hand until the next boot: enable --runtime, mask --runtime, edit --runtime; set-property --runtime
RUN_TIME_UNITS = ("/run/systemd/system", "/run/systemd/system.control")
_LINK = "link to "
_NOTHING = "/dev/null"
_IN_SHADOW = "x"


@dataclass(frozen=True)
class User:
    """`password`: none, locked or set; `mark` tells two passwords apart and is never shown."""

    uid: str
    gid: str
    gecos: str
    home: str
    shell: str
    password: str
    mark: str = ""

    def describe(self) -> str:
        about = f"uid {self.uid}, gid {self.gid}, home {self.home or 'none'}, shell {self.shell or 'none'}"
        return f"{about}{f', {self.gecos}' if self.gecos else ''}, password {self.password}"

    def same_but_password(self, other: User) -> bool:
        return replace(self, password=other.password, mark=other.mark) == other


@dataclass(frozen=True)
class Group:
    gid: str
    members: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"gid {self.gid}, members: {', '.join(self.members) or 'none'}"


def parse_users(passwd: str, shadow: str, mark: Callable[[str], str]) -> dict[str, User]:
    """Users by name. `mark` makes of a password's field what tells it from another, and cannot be turned back."""
    secrets = {name: rest[0] for name, *rest in _fields(shadow, 2)}
    users: dict[str, User] = {}
    for name, password, uid, gid, gecos, home, shell, *_ in _fields(passwd, 7):
        secret = secrets.get(name, "!") if password == _IN_SHADOW else password
        users.setdefault(name, User(uid, gid, gecos, home, shell, _password(secret), mark(secret)))
    return users


def parse_groups(text: str) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for name, _, gid, members, *_ in _fields(text, 4):
        groups.setdefault(name, Group(gid, tuple(sorted(m for m in members.split(",") if m))))
    return groups


def _fields(text: str, least: int) -> list[list[str]]:
    lines = (line.split(":") for line in text.splitlines() if line and not line.startswith("#"))
    return [fields for fields in lines if len(fields) >= least]


def _password(secret: str) -> str:
    if not secret:
        return "none"
    return "locked" if secret.startswith(("!", "*")) else "set"


def link_target(words: str) -> str:
    """The target in the description of a link, or ""."""
    return words.removeprefix(_LINK) if words.startswith(_LINK) else ""


def unit_name(path: str) -> str:
    return path.rpartition("/")[2]


def unit_state(path: str, target: str) -> str:
    """What a link at `path` to `target` does to the unit it is named after; "" when it is none that does something."""
    folder, _, name = path.rpartition("/")
    parent, _, kind = folder.rpartition("/")
    run_time = " until the next boot" if at_run_time(path) else ""
    if not target or "." not in name:
        return ""
    if folder in (UNITS, *RUN_TIME_UNITS):
        return ("masked" if target == _NOTHING else f"linked to {unit_name(target)}") + run_time
    if parent in (UNITS, *RUN_TIME_UNITS):
        for suffix, verb in ((".wants", "wanted"), (".requires", "required"), (".upholds", "upheld")):
            if kind.endswith(suffix):
                return f"enabled ({verb} by {kind.removesuffix(suffix)}){run_time}"
    return ""


def at_run_time(path: str) -> bool:
    """Whether this is in a folder of what is set by hand until the next boot.

    Transient and generated units have folders of their own: they are workload, or follow from files, and no drift.
    """
    return any(path == folder or path.startswith(folder + "/") for folder in RUN_TIME_UNITS)


def below_etc(path: str) -> bool:
    return path == "/etc" or path.startswith("/etc/")
