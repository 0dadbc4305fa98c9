"""What was found wrong, collected in one list and shown with the lines it is about.

An error means no config is produced; a warning means one is, unless the caller is strict. Nothing in this package
raises for what a user wrote: it is all in the report, so that one run shows everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from orlop.provision.source import Place, excerpt

KEPT = 200


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding. `hint` says what to do about it and may be empty."""

    severity: Severity
    message: str
    place: Place
    hint: str = ""

    def as_json(self) -> dict[str, object]:
        span = self.place.span
        return {
            "severity": self.severity.value,
            "message": self.message,
            "hint": self.hint,
            "path": self.place.path,
            "line": span.line,
            "column": span.column,
            "end_line": span.end_line,
            "end_column": span.end_column,
        }


@dataclass(slots=True)
class Report:
    """Findings in the order of the text. At most `KEPT` are kept; `dropped` counts the rest."""

    entries: list[Entry] = field(default_factory=list)
    dropped: int = 0
    errors: int = 0
    warnings: int = 0

    def error(self, place: Place, message: str, hint: str = "") -> None:
        self.errors += 1
        self._add(Entry(Severity.ERROR, message, place, hint))

    def warn(self, place: Place, message: str, hint: str = "") -> None:
        self.warnings += 1
        self._add(Entry(Severity.WARNING, message, place, hint))

    def _add(self, entry: Entry) -> None:
        if len(self.entries) < KEPT:
            self.entries.append(entry)
        else:
            self.dropped += 1

    def failed(self, *, strict: bool = False) -> bool:
        return self.errors > 0 or (strict and self.warnings > 0)

    def sorted(self) -> list[Entry]:
        """By position; errors before warnings at the same place; the same finding once."""
        unique = {(e.severity, e.message, e.place.span, e.place.path): e for e in self.entries}
        return sorted(unique.values(), key=lambda e: (e.place.span.line, e.place.span.column, e.severity.value))


def render(report: Report, text: str, name: str) -> str:
    """The report for a person: `name` is what the source is called, `text` what it held."""
    lines = _lines(text)
    blocks = ["\n".join(_render(entry, lines, name)) for entry in report.sorted()]
    if report.dropped:
        blocks.append(f"… and {report.dropped} more")
    return "\n\n".join(blocks)


def _render(entry: Entry, lines: list[str], name: str) -> Iterable[str]:
    span = entry.place.span
    yield f"{entry.severity.value}: {entry.message}"
    yield f"  --> {name}:{span.line}:{span.column} ({entry.place.path})"
    yield from (f"  {line}" for line in excerpt(lines, span))
    if entry.hint:
        yield f"  hint: {entry.hint}"


def _lines(text: str) -> list[str]:
    """Lines as YAML counts them: a carriage return, a line feed or both together end one."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
