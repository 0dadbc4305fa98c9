"""What a computer must allow root for many container machines: the kernel counts some things by user, not by machine.

Seen: each machine's systemd and its services hold six inotify instances, and a computer allows a user 128; in a lab of
32 machines services then fail one by one, without a word. A whole machine has such limits of its own.
"""

from __future__ import annotations

from pathlib import Path

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_PER_MACHINE = 16  # what workloads open beside the six
_OTHERS = 128


def wanted(machines: int) -> int:
    """How many inotify instances so many container machines and the rest of the computer may take."""
    return _OTHERS + _PER_MACHINE * machines


def allow(machines: int, instances: Path = INSTANCES) -> str:
    """Raise the limit for so many machines, if it is too low. Returns what to say about it, or ""."""
    try:
        before = int(instances.read_text())
    except (OSError, ValueError):
        return ""
    if before >= (enough := wanted(machines)):
        return ""
    try:
        instances.write_text(f"{enough}\n")
    except OSError as e:
        return (
            f"fs.inotify.max_user_instances is {before}, {machines} machines may need {enough}, and it cannot be "
            f"raised here ({e.strerror}): services on some of them may fail"
        )
    return f"fs.inotify.max_user_instances is raised from {before} to {enough} until this computer boots again"
