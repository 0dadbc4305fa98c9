"""What a machine uses when it does nothing but run the demo container. Pure: the text of the probe in, figures out.

The probe runs as a transient unit some time after the session that asked for it has ended, so that neither the session
nor its user manager is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orlop.errors import BadInput

UNIT = "orlop-bench-idle"
RESULT = "/run/orlop-bench-idle"
SETTLE_SECONDS = 30  # a user manager ends 10 s after its last session (logind.conf(5), UserStopDelaySec=)

PROBE = (
    "systemctl stop ssh.service 2>/dev/null; "  # what the session before left; its socket starts it again
    "for p in /proc/[0-9]*; do "
    '[ -r $p/comm ] && read -r c <$p/comm && read -r g <$p/cgroup && echo "${p#/proc/} $g $c"; '
    'done 2>/dev/null; echo; while read -r l; do echo "$l"; done </proc/meminfo'
)
ASK = (
    f"systemd-run --quiet --on-active={SETTLE_SECONDS}s --timer-property=AccuracySec=100ms --unit={UNIT} "
    f"--expand-environment=no --property=StandardOutput=truncate:{RESULT} /bin/sh -c '{PROBE}'"
)  # fmt: skip

_NOT_IDLE = re.compile(rf"/user\.slice/|/{UNIT}\.|/ssh@|/system-ssh\\x2d|/system-sshd|/ssh\.service")


@dataclass(frozen=True)
class IdleFigures:
    """`memory_used` in bytes, as `free` counts it (MemTotal - MemAvailable); `processes` by name, no kernel threads."""

    memory_used: int
    processes: tuple[str, ...]


def parse(text: str) -> IdleFigures:
    """Raises BadInput when the text is not the probe's."""
    head, _, tail = text.replace("\r", "").partition("\n\n")
    memory = {m[1]: int(m[2]) * 1024 for m in re.finditer(r"^(\w+):\s+(\d+) kB$", tail, re.MULTILINE)}
    try:
        used = memory["MemTotal"] - memory["MemAvailable"]
    except KeyError as missing:
        raise BadInput(f"the idle probe says nothing of {missing}", hint="see what it printed: " + text[:200]) from None
    names = []
    for line in head.splitlines():
        _, group, name = line.split(" ", 2)
        if group not in ("0::/", "") and not _NOT_IDLE.search(group.removeprefix("0::")):
            names.append(name)
    return IdleFigures(used, tuple(sorted(names)))
