"""How a boot's time divides into stages, from what the host saw and what the machine says of itself. Pure.

    QEMU starts   firmware starts loader   kernel's clock is 0   /init starts   system manager starts   start-up done
         ├────────── firmware ─────┼────── loader ─────┼── kernel ──┼──── initrd ─────┼──── userspace ──────┤
         ├─────────────────────────── answering (the first good HTTP answer) ──────────────────┤

The first borders are on the host's clock, the rest on the machine's; they meet in `kernel_at`, the moment on the
host's clock at which the machine's own clock was 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from orlop.errors import BadInput

# OVMF says on the console which boot entry it starts; the last one before the kernel is the one that ran
_LOADER_STARTS = re.compile(rb"BdsDxe: starting Boot")
_CONFIGURED = {
    verb: re.compile(rf"^\[\s*(\d+\.\d+)\] .*systemd\[1\]: {verb} orlop-config\.service", re.MULTILINE)
    for verb in ("Starting", "Finished")
}
_INIT_STARTS = re.compile(r"^\[\s*(\d+\.\d+)\].*\bRun /init as init process", re.MULTILINE)


@dataclass(frozen=True)
class Stages:
    """Seconds. A stage that could not be seen is None; `answering` counts from the start of QEMU."""

    firmware: float | None
    loader: float | None
    kernel: float | None
    initrd: float | None
    configuration: float | None  # a part of initrd
    userspace: float | None
    answering: float
    cpu: float  # seconds of processor time that QEMU took until the answer


@dataclass(frozen=True)
class Seen:
    """Raw observations of one boot. `*_at`: seconds on the host's clock; `init`, `manager`: on the machine's."""

    started_at: float
    loader_at: float | None
    kernel_at: float
    answered_at: float
    init: float | None
    userspace: float
    finish: float
    cpu: float
    configuration: float | None = None


def stages(seen: Seen) -> Stages:
    return Stages(
        firmware=_between(seen.started_at, seen.loader_at),
        loader=_between(seen.loader_at, seen.kernel_at),
        kernel=seen.init,
        initrd=_between(seen.init, seen.userspace),
        configuration=seen.configuration,
        userspace=_between(seen.userspace, seen.finish),
        answering=seen.answered_at - seen.started_at,
        cpu=seen.cpu,
    )


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def medians(boots: Sequence[Stages]) -> dict[str, float | None]:
    """Stage by stage; a stage that any boot did not show is None."""
    out: dict[str, float | None] = {}
    for name in Stages.__dataclass_fields__:
        values = [getattr(boot, name) for boot in boots]
        out[name] = median(values) if values and None not in values else None
    return out


def loader_started(chunks: Iterable[tuple[float, bytes]]) -> float | None:
    """When the firmware started the loader. `chunks`: console output as it came, each with its time."""
    text = b""
    found = None
    for at, chunk in chunks:
        before = len(_LOADER_STARTS.findall(text))
        text += chunk
        if len(_LOADER_STARTS.findall(text)) > before:
            found = at
    return found


def busy_seconds(stat: str, ticks: int) -> float:
    """Processor seconds the host has worked since it started, from /proc/stat; `ticks`: clock ticks a second.

    proc(5): user, nice, system, idle, iowait, irq, softirq, steal; time spent in guests is in user already.
    """
    fields = stat.split("\n", 1)[0].split()
    if len(fields) < 9 or fields[0] != "cpu" or not all(field.isdecimal() for field in fields[1:]):
        raise BadInput("/proc/stat does not begin with the sum of all processors")
    user, nice, system, _idle, _iowait, irq, softirq = (int(field) for field in fields[1:8])
    return (user + nice + system + irq + softirq) / ticks


def init_started(kernel_log: str) -> float | None:
    """When the kernel started /init, from `journalctl -k -o short-monotonic` (or dmesg): seconds, or None."""
    found = _INIT_STARTS.search(kernel_log)
    return float(found[1]) if found else None


def configuration(journal: str) -> float | None:
    """How long the machine was configured, from `journalctl -u orlop-config -o short-monotonic`; None on others."""
    times = [_CONFIGURED[verb].search(journal) for verb in ("Starting", "Finished")]
    began, ended = (float(m[1]) if m else None for m in times)
    return _between(began, ended)
