"""Where one phase of a boot ends and the next begins, by what the machine noted of itself. Pure.

A machine that has no such moment, as the peer of the bench has no configuration stage, has no such border, and what it
does there belongs to the phase that ends next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orlop.errors import BadInput

# The phases in the order of a boot, and what each does up to the border that ends it.
PHASES = {
    "firmware": "firmware, boot loader, stub; the kernel unpacks itself, and its clock begins",
    "kernel": "the kernel, up to the start of /init",
    "initrd": "process 1 of the initrd, up to its units being loaded",
    "usr": "disks are found, /usr is opened under dm-verity",
    "root": "/var is made or checked, / is put together",
    "configuration": "the machine is configured",
    "switch": "the initrd is left, and the system's process 1 starts",
    "units": "its generators run, its units are loaded",
    "basic": "journal, devices, file systems, names: up to basic.target",
    "container": "the container's image is pulled, it starts, and it answers",
}
ANSWER = "container"
MANAGER = ("InitRDUnitsLoadFinish", "Userspace", "UnitsLoadFinish")
_TIMESTAMP = "TimestampMonotonic"
SHOW = (
    "systemctl show --property=" + ",".join(f"{name}{_TIMESTAMP}" for name in MANAGER),
    f"systemctl show --property=ActiveEnter{_TIMESTAMP} basic.target",
)


@dataclass(frozen=True)
class Said:
    """What the machine says: `show`, of both commands of SHOW; its kernel's log and its journal, as short-monotonic."""

    show: str
    kernel: str
    journal: str


def borders(moments: Said) -> dict[str, float]:
    """When each phase ended, in seconds of the machine's clock, in order. Raises BadInput without an answer."""
    shown = manager_times(moments.show)
    ends: dict[str, float | None] = {
        "firmware": 0.0,
        "kernel": _when(moments.kernel, r"Run /init as init process"),
        "initrd": shown.get("InitRDUnitsLoadFinish") or None,
        "usr": _when(moments.journal, r"Finished systemd-veritysetup@usr\.service"),
        "root": _when(moments.journal, r"Starting orlop-config\.service"),
        "configuration": _when(moments.journal, r"Finished orlop-config\.service"),
        "switch": shown.get("Userspace"),
        "units": shown.get("UnitsLoadFinish"),
        "basic": shown.get("ActiveEnter"),
        ANSWER: _when(moments.journal, r"\bdemo: answers on port "),
    }
    assert list(ends) == list(PHASES)
    if ends[ANSWER] is None:
        raise BadInput("the machine's journal does not say when its container answered")
    return {name: at for name, at in ends.items() if at is not None}


def manager_times(show: str) -> dict[str, float]:
    """`systemctl show -p …TimestampMonotonic` → {"Userspace": seconds, …}. Raises BadInput for other text."""
    times = {}
    for line in show.split():
        name, _, value = line.partition("=")
        if not name.endswith(_TIMESTAMP) or not value.isdecimal():
            raise BadInput(f"systemctl show printed {line!r} where a timestamp belongs")
        times[name.removesuffix(_TIMESTAMP)] = int(value) / 1e6
    return times


def _when(log: str, words: str) -> float | None:
    """When a line with these words was first written."""
    line = re.search(rf"^\[\s*(\d+\.\d+)\].*{words}", log, re.MULTILINE)
    return float(line[1]) if line else None
