"""Drift: what a machine has beyond the image's factory tree and its configuration.

Two snapshots are compared: the one taken when the configuration was complete, before the system started, and one of
the machine as it is now. A snapshot holds no content, only what tells one content from another; of passwords it holds a
mark. Invariant: `compare(s, s)` is empty, and whatever differs is named once, in the words of what it means (a unit, a
user) where it means more than its file (`orlop.model.drift.readings`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from orlop.model.drift import readings
from orlop.model.drift.readings import Group, User

CMDLINE = "/proc/cmdline"
# arguments that say where the configuration is, given by firmware or the boot loader: they are how a machine is told
TELLS = ("ignition.", "orlop.")
# the command line of the image's own second boot entry, which is signed as the first is
OF_ENTRIES = ("systemd.factory_reset=1",)
# which version of /usr this is: another value would be another /usr, and verity has checked this one
NAMES_USR = ("usrhash=", "systemd.verity_usr_")


class DriftKind(StrEnum):
    FILE = "file"
    DIR = "dir"
    LINK = "link"
    OTHER = "other"


class Origin(StrEnum):
    """Who a path belongs to."""

    FACTORY = "factory"
    CONFIGURATION = "configuration"
    MACHINE = "machine"
    BOOT = "boot"


class What(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    KIND = "kind"
    CONTENT = "content"
    TARGET = "target"
    MODE = "mode"
    OWNER = "owner"
    UNIT = "unit"
    USER = "user"
    GROUP = "group"
    MOUNT = "mount"
    KERNEL_ARGUMENT = "kernel-argument"


@dataclass(frozen=True)
class TreeEntry:
    """One path. `mode`: permission bits; `size`, `sha256` of a file; `target` of a link; else 0 and ""."""

    kind: DriftKind
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    target: str = ""

    def describe(self) -> str:
        match self.kind:
            case DriftKind.LINK:
                return f"link to {self.target}"
            case DriftKind.FILE:
                return f"file of {self.size} bytes, mode {self.mode:04o}, owner {self.uid}:{self.gid}"
            case DriftKind.DIR:
                return f"folder, mode {self.mode:04o}, owner {self.uid}:{self.gid}"
            case DriftKind.OTHER:
                return f"device, socket or pipe, mode {self.mode:04o}, owner {self.uid}:{self.gid}"


@dataclass(frozen=True)
class Owner:
    """`setting`: where in the configuration, for example `storage.files.3`; may be ""."""

    origin: Origin
    setting: str = ""


@dataclass(frozen=True)
class TreeSnapshot:
    """A machine at a moment. Paths are absolute, as the running machine has them.

    `sealed`: /etc is a read-only mount. `changed`: when each path changed last, in seconds; it takes no part in
    comparisons and serves to tell the cause.
    """

    entries: Mapping[str, TreeEntry] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    kernel_arguments: tuple[str, ...] = ()
    sealed: bool = False
    owners: Mapping[str, Owner] = field(default_factory=dict)
    changed: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Difference:
    """`name`: the unit, user, group or argument, else "". `expected`, `found`: in words, "" where there is nothing."""

    path: str
    what: What
    expected: str
    found: str
    origin: Origin | None = None
    name: str = ""
    cause: str = ""
    hint: str = ""


def compare(expected: TreeSnapshot, found: TreeSnapshot) -> list[Difference]:
    """Every difference, by path. `expected.owners` says whose each path is."""
    raw = list(_files(expected, found))
    accounts = [
        *_accounts(expected.users, found.users, What.USER),
        *_accounts(expected.groups, found.groups, What.GROUP),
    ]
    explained = {difference.path for difference in accounts}
    if any(d.what is What.USER for d in accounts):
        explained.add(readings.SHADOW)
    if any(d.what is What.GROUP for d in accounts):
        explained.add(readings.GSHADOW)
    files = [_as_unit(d) for d in raw if not (d.path in explained and d.what is What.CONTENT)]
    every = [*files, *accounts, *_arguments(expected, found), *_seal(expected, found)]
    return sorted((_explain(d, expected, found) for d in every), key=lambda d: (d.path, d.what, d.name))


def _files(expected: TreeSnapshot, found: TreeSnapshot) -> Iterator[Difference]:
    for path in sorted({*expected.entries, *found.entries}):
        old, new = expected.entries.get(path), found.entries.get(path)
        if old is None and new is not None:
            yield Difference(path, What.ADDED, "", new.describe())
        elif new is None and old is not None:
            yield Difference(path, What.REMOVED, old.describe(), "")
        elif old is not None and new is not None and old != new:
            yield from _entry(path, old, new)


def _entry(path: str, old: TreeEntry, new: TreeEntry) -> Iterator[Difference]:
    if old.kind is not new.kind:
        yield Difference(path, What.KIND, old.describe(), new.describe())
        return
    if (old.size, old.sha256) != (new.size, new.sha256):
        yield Difference(path, What.CONTENT, _content(old), _content(new))
    if old.target != new.target:
        yield Difference(path, What.TARGET, old.target, new.target)
    if old.mode != new.mode:
        yield Difference(path, What.MODE, f"{old.mode:04o}", f"{new.mode:04o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield Difference(path, What.OWNER, f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}")


def _content(entry: TreeEntry) -> str:
    return f"{entry.size} bytes, sha256 {entry.sha256[:12]}…"


def _accounts(old: Mapping[str, User | Group], new: Mapping[str, User | Group], what: What) -> Iterator[Difference]:
    path = readings.PASSWD if what is What.USER else readings.GROUP
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        words = before.describe() if before else "", after.describe() if after else ""
        if words[0] == words[1]:  # they differ in what is not shown
            words = words[0], f"{words[1]}, but another one"
        only_password = isinstance(before, User) and isinstance(after, User) and before.same_but_password(after)
        yield Difference(readings.SHADOW if only_password else path, what, *words, name=name)


def _as_unit(difference: Difference) -> Difference:
    """The difference as what it does to a unit, where it does something."""
    if difference.what not in (What.ADDED, What.REMOVED, What.TARGET, What.KIND):
        return difference
    old, new = (readings.link_target(text) for text in (difference.expected, difference.found))
    if difference.what is What.TARGET:
        old, new = difference.expected, difference.found
    before, after = (readings.unit_state(difference.path, target) for target in (old, new))
    if not (before or after):
        return difference
    words = [
        state or described or f"not {other.split()[0]}"
        for state, described, other in ((before, difference.expected, after), (after, difference.found, before))
    ]
    return Difference(difference.path, What.UNIT, words[0], words[1], name=readings.unit_name(difference.path))


def _arguments(expected: TreeSnapshot, found: TreeSnapshot) -> Iterator[Difference]:
    if not expected.kernel_arguments:  # a container machine: the kernel is its computer's, and has words of its own
        return
    old, new = (_counted(s.kernel_arguments) for s in (expected, found))
    for argument in sorted({*old, *new}):
        before, after = old.get(argument, 0), new.get(argument, 0)
        if before != after:
            yield Difference(CMDLINE, What.KERNEL_ARGUMENT, _times(before), _times(after), name=argument)


def _counted(arguments: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for argument in arguments:
        if not argument.startswith((*TELLS, *NAMES_USR)) and argument not in OF_ENTRIES:
            counts[argument] = counts.get(argument, 0) + 1
    return counts


def _times(count: int) -> str:
    return {0: "", 1: "given"}.get(count, f"given {count} times")


def _seal(expected: TreeSnapshot, found: TreeSnapshot) -> Iterator[Difference]:
    if expected.sealed and not found.sealed:
        yield Difference("/etc", What.MOUNT, "sealed: a read-only mount", "writable")


def _explain(difference: Difference, expected: TreeSnapshot, found: TreeSnapshot) -> Difference:
    """The difference with its origin, its cause as far as that is known, and what to do."""
    path = difference.path
    owner = None if difference.what is What.KERNEL_ARGUMENT else expected.owners.get(path)
    hint = _hint(difference, owner)
    return Difference(
        **{name: getattr(difference, name) for name in ("path", "what", "expected", "found", "name")},
        origin=owner.origin if owner else None,
        cause="; ".join(_causes(difference, owner, expected, found)),
        hint=hint,
    )


def _causes(difference: Difference, owner: Owner | None, expected: TreeSnapshot, found: TreeSnapshot) -> Iterator[str]:
    path = difference.path
    if difference.what is What.KERNEL_ARGUMENT:
        yield "from firmware or the boot loader" if difference.found else "another command line was booted"
        return
    if owner and owner.setting:
        yield f"it is set by {owner.setting}"
    if difference.what is What.MOUNT:
        yield "mounted or unmounted by hand"
        return
    if readings.at_run_time(path):
        yield "set at run time, by hand"
    elif difference.what is What.UNIT:
        yield "set by hand"
    where = path
    while where not in found.changed and where != "/":
        where = where.rpartition("/")[0] or "/"
    if where in found.changed and (where == path or where in expected.entries):
        when = datetime.fromtimestamp(found.changed[where], UTC)
        yield f"changed {when:%Y-%m-%d %H:%M:%S} UTC"
    if readings.below_etc(path) and expected.sealed and not found.sealed:
        yield "/etc is writable"


def _hint(difference: Difference, owner: Owner | None) -> str:
    path = difference.path
    if difference.what is What.KERNEL_ARGUMENT:
        return "reboot, and look at what the firmware and the boot menu add; the image's own are signed with it"
    if readings.at_run_time(path):
        return f"systemctl revert {difference.name}, or reboot" if difference.name else "reboot"
    if readings.below_etc(path):
        return "a reboot makes it right; to keep it, say it in the machine's configuration"
    if owner and owner.origin is Origin.CONFIGURATION:
        return "the next boot writes it anew; to keep the change, make it in the machine's configuration"
    return "a reboot makes it right"
