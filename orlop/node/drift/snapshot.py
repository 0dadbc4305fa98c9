"""Take a snapshot of a machine, keep the one that was expected, compare.

`record` runs at every boot, in the initrd, on the new root, when the configuration is complete; or after the workloads,
where there is no configuration (`late`): a few hundred small files. What it writes lives in /run, until the
machine is switched off, and can be read by root alone. Covered are all of /etc, the units set at run time, what the
configuration owns elsewhere, and the kernel command line.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.files import write_atomic
from orlop.model.drift import readings
from orlop.model.drift.difference import CMDLINE, Difference, DriftKind, Origin, Owner, TreeEntry, TreeSnapshot, compare
from orlop.model.drift.text import parse_snapshot, snapshot_text

EXPECTED = Path("/run/orlop/expected.json")
# the words of the signed command line; `orlop image build` puts them there
OWN_CMDLINE = "usr/lib/orlop/cmdline"
FACTORY = "usr/share/factory"
MACHINE = ("/etc/machine-id",)


def record(
    root: Path,
    owned: Mapping[str, Owner],
    to: Path = EXPECTED,
    *,
    sealed: bool,
    arguments: Sequence[str] | None = (),
    run: Path = Path("/run"),
) -> None:
    """Write what the machine under `root` is expected to be.

    `owned`: whose each path is that is not the factory's, paths as the running machine has them; those outside /etc are
    watched too. `sealed`: whether /etc will be a read-only mount. `arguments`: kernel arguments that the configuration
    wants, beside the image's own; None where the kernel is not this machine's. `run`: what will be the machine's /run.
    """
    entries = dict(walk(root, run, owned))
    own = () if arguments is None else _words(root / OWN_CMDLINE)
    users, groups = accounts(root)
    snapshot = TreeSnapshot(
        entries=entries,
        users=users,
        groups=groups,
        kernel_arguments=(*own, *(argument for argument in arguments or () if argument not in own)),
        sealed=sealed,
        owners={path: owned.get(path) or Owner(_origin(root, path)) for path in entries},
    )
    write_atomic(to, snapshot_text(snapshot) + "\n", mode=0o600)


def differences(expected: Path = EXPECTED) -> list[Difference]:
    """Compare this machine with what `record` wrote. Raises Missing (there is nothing) or BadInput (not readable)."""
    try:
        should_be = parse_snapshot(expected.read_bytes(), str(expected))
    except FileNotFoundError:
        raise Missing(
            f"{expected} is not there: this boot recorded nothing to compare with",
            hint="it is written when the workloads have been started: try again then, or reboot",
        ) from None
    except PermissionError:
        raise BadInput(f"{expected} may be read by root alone", hint="run this as root") from None
    return compare(should_be, take(Path("/"), should_be.entries))


def take(root: Path, watched: Iterable[str]) -> TreeSnapshot:
    """The running machine, with the paths in `watched` that are outside /etc."""
    changed: dict[str, float] = {}
    users, groups = accounts(root)
    return TreeSnapshot(
        entries=dict(walk(root, root / "run", watched, changed)),
        users=users,
        groups=groups,
        kernel_arguments=_words(root / CMDLINE.lstrip("/")),
        sealed=is_sealed((root / "proc/self/mountinfo").read_text()),
        changed=changed,
    )


def walk(
    root: Path, run: Path, watched: Iterable[str], changed: dict[str, float] | None = None
) -> Iterator[tuple[str, TreeEntry]]:
    """(path, entry) of all that is covered; `changed` is filled with the time of each path's last change."""
    at = os.fspath(root).rstrip("/")
    yield from _below(f"{at}/etc", "/etc", changed, itself=True)
    for folder in readings.RUN_TIME_UNITS:
        yield from _below(os.fspath(run) + folder.removeprefix("/run"), folder, changed, itself=False)
    for path in sorted(watched):
        if (
            not readings.below_etc(path)
            and not readings.at_run_time(path)
            and (entry := look(at + path, path, changed))
        ):
            yield path, entry


def _below(
    folder: str, name: str, changed: dict[str, float] | None, *, itself: bool
) -> Iterator[tuple[str, TreeEntry]]:
    if itself and (own := look(folder, name, changed)):
        yield name, own
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for child in names:
        path = f"{folder}/{child}"
        if entry := look(path, f"{name}/{child}", changed):
            yield f"{name}/{child}", entry
            if entry.kind is DriftKind.DIR:
                yield from _below(path, f"{name}/{child}", changed, itself=False)


def look(path: str, name: str, changed: dict[str, float] | None = None) -> TreeEntry | None:
    """The entry of one path, links not followed; None when it is not there (any more)."""
    try:
        info = os.lstat(path)
        if changed is not None:
            changed[name] = info.st_ctime
        owner = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
        if stat.S_ISREG(info.st_mode):
            with open(path, "rb", buffering=0) as f:  # noqa: PTH123 — a Path for each file doubles the time
                return TreeEntry(DriftKind.FILE, *owner, info.st_size, hashlib.file_digest(f, "sha256").hexdigest())
        if stat.S_ISLNK(info.st_mode):
            return TreeEntry(DriftKind.LINK, *owner, target=os.readlink(path))
        return TreeEntry(DriftKind.DIR if stat.S_ISDIR(info.st_mode) else DriftKind.OTHER, *owner)
    except (FileNotFoundError, NotADirectoryError):
        return None


def accounts(root: Path) -> tuple[dict[str, readings.User], dict[str, readings.Group]]:
    """Users and groups of the machine under `root`, by name."""
    passwd, shadow, group = (_text(root / p.lstrip("/")) for p in (readings.PASSWD, readings.SHADOW, readings.GROUP))
    return readings.parse_users(passwd, shadow, _mark), readings.parse_groups(group)


def _mark(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def is_sealed(mountinfo: str) -> bool:
    """Whether /etc is a read-only mount of its own: the last line about it counts, see proc_pid_mountinfo(5)."""
    of_etc = [line.split(" ") for line in mountinfo.splitlines() if line.split(" ")[4:5] == ["/etc"]]
    return bool(of_etc) and "ro" in of_etc[-1][5].split(",")


def _origin(root: Path, path: str) -> Origin:
    if path in MACHINE:
        return Origin.MACHINE
    return Origin.FACTORY if os.path.lexists(root / FACTORY / path.lstrip("/")) else Origin.BOOT


def _words(path: Path) -> tuple[str, ...]:
    return tuple(_text(path).split())


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""
