"""What `systemd-analyze verify` says of units, and what podman says of Quadlet files, as values.

Both speak in lines for people. A line that is not known here is passed on as it is: systemd knows more than this does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

_ROOT = "/sysroot"
# where systemd-analyze was shown what generators made, and where a machine has it
_GENERATED = ("/run/systemd/system/", "/run/systemd/generator/")
_UNIT = r"(?P<unit>[^\s/:]+\.(?:service|socket|timer|path|mount|automount|swap|target|slice))"
_QUADLET = re.compile(r'converting "(?P<file>[^"]+)": (?P<why>.*)$', re.MULTILINE)


class FindingKind(Enum):
    ABSENT = "a program is not there"
    MAY_NOT = "a program may not be executed"
    NEEDS = "a unit that it requires is not there"
    MASKED = "a unit that it requires is masked"
    REFUSED = "systemd does not take it"
    IGNORED = "systemd leaves something out"
    OTHER = "anything else"


@dataclass(frozen=True)
class UnitFinding:
    """`what`: the program, the unit that is required, or what is said; `path`: of the file, where that is said."""

    unit: str
    kind: FindingKind
    what: str
    path: str = ""


_LINES = (
    (FindingKind.ABSENT, rf"{_UNIT}: Command (?P<what>.+) is not executable: No such file or directory"),
    (FindingKind.MAY_NOT, rf"{_UNIT}: Command (?P<what>.+) is not executable: .*"),
    (FindingKind.NEEDS, rf"{_UNIT}: Failed to create \S+/start: Unit (?P<what>\S+) not found\."),
    (FindingKind.MASKED, rf"{_UNIT}: Failed to create \S+/start: Unit (?P<what>\S+) is masked\."),
    (FindingKind.NEEDS, rf"{_UNIT}: service (?P<what>\S+) not loaded, socket cannot be started\."),
    (FindingKind.REFUSED, rf"{_UNIT}: (?P<what>.*) Refusing\."),
    (FindingKind.IGNORED, r"(?P<path>/\S+):(?P<line>\d+): (?P<what>.*?),? ignoring\.?(?P<rest>.*)"),
    (FindingKind.OTHER, rf"{_UNIT}: (?P<what>.*)"),
)


def findings(log: str) -> Iterator[UnitFinding]:
    """Each finding once, in order."""
    seen = set()
    for line in log.splitlines():
        found = _finding(line.strip())
        if found and found not in seen:
            seen.add(found)
            yield found


def _finding(line: str) -> UnitFinding | None:
    for kind, pattern in _LINES:
        found = re.fullmatch(pattern, line)
        if found is None:
            continue
        if kind is not FindingKind.IGNORED:
            return UnitFinding(found["unit"], kind, found["what"])
        path = found["path"].removeprefix(_ROOT).replace(*_GENERATED)
        what = f"line {found['line']}: {found['what']}{found['rest']}"
        return UnitFinding(_unit_of(path), kind, what, path)
    return None


def _unit_of(path: str) -> str:
    """`a.service` of /etc/systemd/system/a.service.d/x.conf, and of /etc/systemd/system/a.service."""
    *_, folder, name = path.split("/")
    return folder.removesuffix(".d") if folder.endswith(".d") else name


def not_understood(log: str) -> dict[str, str]:
    """Quadlet files of which podman makes no unit, and why."""
    return {found["file"]: found["why"] for found in _QUADLET.finditer(log)}
