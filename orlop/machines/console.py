"""What a serial console says: problems, the stage of the boot, the verdict.

Pure: text in, values out. The text is what QEMU wrote to the console's log file, so it may hold colours, cursor
movement, lone carriage returns, bytes that are no UTF-8, and a last line that is not finished yet. Invariant: nothing
that a console can hold raises here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

_MOVES = re.compile(r"\x1b\[[0-?]*[ -/]*[HJf]")  # the cursor goes elsewhere: what follows is another line
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours and the like
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-~]"  # two- and three-character sequences
)
_ENDS = re.compile(r"\r*\n|\r+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Problem:
    """One line that should not be there. `line` counts from 1; `fails` is False for what is only counted."""

    kind: str
    line: int
    text: str
    fails: bool = True


@dataclass(frozen=True)
class Verdict:
    """What `orlop-health` said about one boot. `reason` is empty when `good`."""

    good: bool
    version: str
    boot: str
    reason: str = ""


class BootStage(IntEnum):
    """How far a boot has come, by what its console last showed."""

    OFF = 0
    FIRMWARE = 1
    LOADER = 2
    KERNEL = 3
    INITRD = 4
    SYSTEM = 5
    JUDGED = 6


_PROBLEMS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("kernel panic", r"Kernel panic - not syncing|end Kernel panic"),
        ("oops", r"\bOops\b(: |:$)|Internal error: Oops"),
        ("kernel bug", r"\bBUG: |kernel BUG at "),
        ("verity", r"verity: .*\bis corrupted\b|data block \d+ is corrupted|[Dd]evice corruption"),
        ("out of memory", r"\bOut of memory: Killed process\b|\boom-kill:"),
        ("failed to start", r"\bFailed to (start|mount|listen on|isolate default target)\b|^\[ *FAILED *\]"),
        ("dependency failed", r"\bDependency failed for\b"),
        ("ordering cycle", r"\b[Oo]rdering cycle\b"),
        ("emergency mode", r"\bemergency mode\b|\bEmergency Mode\b|\bEmergency Shell\b"),
        ("init froze", r"\bFreezing execution\b"),
    )
)
_AVC = re.compile(r"\bavc:\s+denied\b")
_PERMISSIVE = re.compile(r"\bpermissive=1\b")
_ENFORCING = re.compile(r"\bpermissive=0\b|\benforcing=1 old_enforcing=")

_VERDICT = re.compile(r'orlop-health: verdict=(good|bad) version=(\S+) boot=([0-9A-Fa-f-]+)(?: reason="(.*)")?\s*$')

_WAITING = re.compile(r"orlop-health: waiting up to \d+ s for what is wrong around this machine: (.*)$")

# `orlop lab push` (push.sh) has the machine say so; the last one counts
_MODIFIED = re.compile(r"^orlop-lab: modified: (\d{1,6}) files$", re.MULTILINE)

_FAILED = "orlop-initrd: this boot failed"
_STARTS_OVER = "orlop-initrd: rebooting"

# What the kernel says, every 21 seconds or so, when a processor gets no timer interrupts: two lines, of which a slow or
# torn console may hold one (Linux, kernel/rcu/tree_stall.h).
_NO_TIMER = (
    re.compile(r"\brcu: \s*rcu_\w+ kthread timer wakeup didn't happen for \d+ jiffies"),
    re.compile(r"\brcu: \s*Possible timer handling issue on cpu=\d"),
)
_NO_TIMER_TIMES = 2

# The first words of a boot: what only the firmware says, or a container machine's supervisor (container/supervise.py).
_FIRST = re.compile(r"UEFI firmware \(version|BdsDxe: (loading|failed to load) Boot|^orlop-lab: \S+ starts$")
# Each later stage's own.
_STAGES = (
    (BootStage.LOADER, re.compile(r"BdsDxe: starting Boot|systemd-boot")),
    (BootStage.KERNEL, re.compile(r"EFI stub:|Linux version \d|Loading kernel|Decompressing Linux")),
    (BootStage.INITRD, re.compile(r"Running in initrd|Welcome to .*[Ii]nitr|orlop-initrd:|^orlop-lab: \S+ starts$")),
    (BootStage.SYSTEM, re.compile(r"Welcome to (?!.*[Ii]nitr)")),
    (BootStage.JUDGED, _VERDICT),
)  # fmt: skip
# A quiet boot says nothing between boot loader and verdict, but systemd resets the terminal each time it starts as
# process 1: once in the initrd, once in the system.
_RESET = "\x1b[!p"


def plain(text: str) -> str:
    """The text as lines ended by line feeds: no escape sequences, no other control characters but the tab."""
    text = _ESCAPES.sub("", _MOVES.sub("\n", text))
    return _CONTROLS.sub("", _ENDS.sub("\n", text))


def problems(text: str) -> list[Problem]:
    """Every line that tells of trouble, in order, once each.

    SELinux denials are listed always and fail only when the denial itself or the console says that SELinux enforces.
    """
    findings: list[Problem] = []
    enforcing = False
    for number, raw in enumerate(plain(text).split("\n"), 1):
        line = raw.strip()
        if not line:
            continue
        enforcing = enforcing or bool(_ENFORCING.search(line))
        if _AVC.search(line):
            findings.append(Problem("selinux denial", number, line, enforcing and not _PERMISSIVE.search(line)))
            continue
        kind = next((kind for kind, pattern in _PROBLEMS if pattern.search(line)), None)
        if kind:
            findings.append(Problem(kind, number, line))
    return findings


def failures(text: str) -> list[Problem]:
    """The problems that make a test fail."""
    return [p for p in problems(text) if p.fails]


def describe(problems: Iterable[Problem]) -> str:
    """One line a problem, for an error message."""
    return "\n".join(f"line {p.line}: {p.kind}: {p.text}" for p in problems)


def last_words(text: str) -> tuple[list[str], bool]:
    """What the newest boot that failed in the initrd says of it: the lines after its first one, and whether they are
    all there (os/initrd/tree/usr/lib/orlop/report-failure).
    """
    whole, _, unfinished = plain(text).rpartition("\n")
    words: list[str] | None = None
    for line in whole.split("\n"):
        if line.startswith(_FAILED):
            words = []
        elif line.startswith(_STARTS_OVER) and words is not None:
            return words, True
        elif words is not None and line.strip():
            words.append(line.strip())
    return words or [], unfinished.startswith(_STARTS_OVER)


def has_lost_a_timer(text: str) -> bool:
    """Whether the newest boot stands still because a processor gets no timer interrupts: said more than once, since a
    busy host can be the cause of the first time, and nothing of systemd or a verdict came after.
    """
    if not any(words.search(text) for words in _NO_TIMER):  # asked of every machine that boots, again and again
        return False
    boot = last_boot(text)
    # one kind of line, or else one time would count as two
    stalls = max((list(words.finditer(boot)) for words in _NO_TIMER), key=len)
    return len(stalls) >= _NO_TIMER_TIMES and _RESET not in boot[stalls[0].end() :] and not verdicts(boot)


def verdicts(text: str) -> list[Verdict]:
    """Every boot's verdict in the text, in order. A line that is not finished yet is not read.

    Of a boot that was judged again, as `orlop lab push` may have it done, the last verdict counts.
    """
    whole = plain(text).rpartition("\n")[0]
    by_boot: dict[str, Verdict] = {}
    for line in whole.split("\n"):
        if m := _VERDICT.search(line):
            by_boot[m[3]] = Verdict(m[1] == "good", m[2], m[3], m[4] or "")
    return list(by_boot.values())


def waiting(text: str) -> str:
    """What the machine last said to wait for before it has a verdict; "" when it said nothing such."""
    causes = [m[1] for line in plain(text).split("\n") if (m := _WAITING.search(line))]
    return causes[-1] if causes else ""


def modified(boot: str) -> int:
    """In how many files the machine differs from its image, since `orlop lab push`. `boot`: one boot's console, since
    the next one knows nothing of it.
    """
    counts = _MODIFIED.findall(plain(boot).rpartition("\n")[0])
    return int(counts[-1]) if counts else 0


def last_boot(text: str) -> str:
    """The part of the text that belongs to the newest boot: from the last time the firmware introduced itself, or a
    container machine was started.

    The firmware says more than one line; a new boot is one that comes after a later stage was seen.
    """
    start, booted, place = 0, False, 0
    for line in text.splitlines(keepends=True):
        clean = plain(line)
        if _FIRST.search(clean) and booted:
            start, booted = place, False
        elif any(pattern.search(clean) for _, pattern in _STAGES):
            booted = True
        place += len(line)
    return text[start:]


def stage(text: str) -> BootStage:
    """How far the boot that this text shows has come."""
    reached = BootStage.FIRMWARE if text.strip() else BootStage.OFF
    resets = text.count(_RESET)
    if resets:
        reached = BootStage.INITRD if resets == 1 else BootStage.SYSTEM
    for line in plain(text).split("\n"):
        for which, pattern in _STAGES:
            if which > reached and pattern.search(line):
                reached = which
    return reached


def tail(text: str, lines: int = 25) -> str:
    """The last lines that say something."""
    filled = [line.rstrip() for line in plain(text).split("\n") if line.strip()]
    return "\n".join(filled[-lines:])
