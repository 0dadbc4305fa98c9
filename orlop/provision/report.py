"""What was found wrong, collected in one list and shown with the lines it is about.

An error means no config is produced; a warning means one is, unless the caller is strict. Nothing in this package
raises for what a user wrote: it is all in the report, so that one run shows everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from orlop.provision.source import Place, excerpt

KEPT = 200
MESSAGE = 300  # characters of a message: what it quotes may be as long as the config


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class ReportEntry:
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
    """Findings, each once. At most `KEPT` errors and as many warnings are kept; `dropped` counts the rest.

    Many warnings never hide an error: why a config is refused is always said.
    """

    entries: list[ReportEntry] = field(default_factory=list)
    dropped: int = 0
    errors: int = 0
    warnings: int = 0
    _seen: set[tuple[object, ...]] = field(default_factory=set)

    def error(self, place: Place, message: str, hint: str = "") -> None:
        if self._add(ReportEntry(Severity.ERROR, _cut(message), place, _cut(hint))):
            self.errors += 1

    def warn(self, place: Place, message: str, hint: str = "") -> None:
        if self._add(ReportEntry(Severity.WARNING, _cut(message), place, _cut(hint))):
            self.warnings += 1

    def take(self, entries: Iterable[ReportEntry]) -> None:
        """Add the findings of another report."""
        for entry in entries:
            add = self.error if entry.severity is Severity.ERROR else self.warn
            add(entry.place, entry.message, entry.hint)

    def _add(self, entry: ReportEntry) -> bool:
        """Whether it is new."""
        if (self.errors if entry.severity is Severity.ERROR else self.warnings) >= KEPT:
            self.dropped += 1
            return True
        key = (entry.severity, entry.message, entry.place.span, entry.place.path)
        if key in self._seen:
            return False
        self._seen.add(key)
        self.entries.append(entry)
        return True

    @property
    def full(self) -> bool:
        return len(self.entries) >= KEPT

    def failed(self, *, strict: bool = False) -> bool:
        return self.errors > 0 or (strict and self.warnings > 0)

    def sorted(self) -> list[ReportEntry]:
        """By position; errors before warnings at the same place."""
        return sorted(self.entries, key=lambda e: (e.place.span.line, e.place.span.column, e.severity.value))


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE else text[: MESSAGE - 1] + "…"


def render(report: Report, text: str, name: str) -> str:
    """The report for a person: `name` is what the source is called, `text` what it held."""
    lines = _lines(text)
    blocks = ["\n".join(_render(entry, lines, name)) for entry in report.sorted()]
    if report.dropped:
        blocks.append(f"… and {report.dropped} more")
    return "\n\n".join(blocks)


def _render(entry: ReportEntry, lines: list[str], name: str) -> Iterable[str]:
    span = entry.place.span
    yield f"{entry.severity.value}: {entry.message}"
    yield f"  --> {name}:{span.line}:{span.column} ({entry.place.path})"
    yield from (f"  {line}" for line in excerpt(lines, span))
    if entry.hint:
        yield f"  hint: {entry.hint}"


def _lines(text: str) -> list[str]:
    """Lines as YAML counts them."""
    return re.split("\r\n|[\r\n\x85\u2028\u2029]", text)
