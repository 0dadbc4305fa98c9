"""The control groups of a lab's container machines: one a lab, named by its key, in it one a machine.

    KEY/n1/lab                      the machine's supervisor
    KEY/n1/machine/supervisor       systemd-nspawn
    KEY/n1/machine/payload          the machine's own root group, and below it what its systemd makes
    KEY/n1/machine/payload/visit    commands that were brought in from outside

Why: killing a group takes all of a machine's processes at one moment, which is what a power cut is; limits are the
group's; and a command that enters a machine must be in a group of that machine. crun lays its device filter on the
group that its process is in: a command that entered by namespaces alone would lay it on this computer's own root group,
and no program there could open a disk any more (seen).

Lifetime: made when a machine is started, removed when its power is taken and by `down`, by name.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from orlop.errors import Missing, OrlopError

MOUNTS = Path("/proc/self/mounts")
WANTED = ("cpu", "io", "memory", "pids")
LIMITING = {"cpu", "memory", "pids"}  # what a machine's limits, and podman's, need
_PERIOD = 100_000  # microseconds, the kernel's own default
_KILL_SECONDS = 10.0


def hierarchy(mounts: str) -> Path | None:
    """Where cgroup v2 is mounted, by the text of /proc/mounts."""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(fields[1])
    return None


def top() -> Path:
    """Raises Missing where there is no cgroup v2."""
    unified = hierarchy(MOUNTS.read_text())
    if unified is None:
        raise Missing(
            "this computer has no cgroup v2, which container machines need",
            hint="mount -t cgroup2 none /sys/fs/cgroup/unified makes it; `--kind vm` needs none",
        )
    return unified


def can_limit(at: Path) -> bool:
    """Whether groups below `at` may have limits."""
    return set(_words(at / "cgroup.subtree_control")) >= LIMITING


def enable(at: Path) -> None:
    """Hand the controllers that there are on to the groups below `at`, one by one: some may be taken elsewhere."""
    for name in _words(at / "cgroup.controllers"):
        if name in WANTED:
            with suppress(OSError):
                (at / "cgroup.subtree_control").write_text(f"+{name}")


def prepare(key: str) -> tuple[Path, bool]:
    """The lab's group, made when it is missing, and whether its machines may have limits."""
    root = top()
    if not can_limit(root):
        enable(root)
    group = root / key
    group.mkdir(exist_ok=True)
    enable(group)
    return group, can_limit(group)


def make(key: str, name: str, cpus: int, memory_mib: int) -> Path:
    """A machine's group, with its limits where there are any."""
    lab, limits = prepare(key)
    group = lab / name
    group.mkdir(exist_ok=True)
    enable(group)
    for part in ("lab", "machine"):
        (group / part).mkdir(exist_ok=True)
    if limits:
        (group / "memory.max").write_text(str(memory_mib << 20))
        (group / "cpu.max").write_text(f"{cpus * _PERIOD} {_PERIOD}")
    return group


def visit(leader: int) -> Path:
    """The group for commands from outside, in the machine whose process 1 is `leader`."""
    own = Path(f"/proc/{leader}/cgroup").read_text().splitlines()[-1].removeprefix("0::/")
    group = top() / own.removesuffix("/init.scope") / "visit"
    group.mkdir(exist_ok=True)
    return group


def end(group: Path) -> bool:
    """Kill every process in the group and below it at one moment, and remove it. False when some do not go.

    It is removed because a group that was killed once stays deadly: Linux (6.18, seen) compares how often the groups on
    both sides were killed when a process is made right into one, as systemd does, and kills it when they differ.
    """
    if not group.is_dir():
        return True
    (group / "cgroup.kill").write_text("1")
    until = time.monotonic() + _KILL_SECONDS
    while "populated 1" in (group / "cgroup.events").read_text():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()
    return True


def remove(key: str) -> bool:
    """End and remove all that bears the lab's key. False when there was nothing. Raises OrlopError when it stays."""
    root = hierarchy(MOUNTS.read_text())
    if root is None or not (group := root / key).is_dir():
        return False
    if not end(group):
        raise OrlopError(f"processes in {group} do not end", hint="try again in a moment")
    return True


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
