"""Where things are in the text a user wrote, and how that is shown to them.

A `Span` is a stretch of the source text. A `Place` is a span together with the path of keys that leads to it
(`$.storage.files.0.path`); every value of a config keeps the place it came from, through all of the translation, so
that a rule about the finished Ignition config still points at the line the user typed.

Invariant: lines and columns count from 1, in characters; `end_column` is the column after the last character.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT_LINES = 2
WIDTH = 100  # characters of a source line that are shown; longer lines are cut around the caret


@dataclass(frozen=True, slots=True)
class Span:
    """`literal`: a block of text after `|`, whose lines stand below it one by one."""

    line: int
    column: int
    end_line: int
    end_column: int
    literal: bool = False

    def inner(self, number: int) -> Span:
        """Line `number` (from 1) of the text that stands here: itself in a literal block, else all of it."""
        line = self.line + number
        return Span(line, 1, line + 1, 1) if self.literal and line <= self.end_line else self


START = Span(1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class Place:
    """A span and the way to it: `key` is the last step, `parent` the place before that (None: the document)."""

    span: Span
    parent: Place | None = None
    key: str | int | None = None

    def at(self, key: str | int, span: Span | None = None) -> Place:
        """The place one step further down."""
        return Place(span or self.span, self, key)

    @property
    def keys(self) -> str:
        """The way to it by names alone: `storage.files.path`, whichever item of a list it is in."""
        names: list[str] = []
        place: Place | None = self
        while place is not None and place.key is not None:
            if isinstance(place.key, str):
                names.append(place.key)
            place = place.parent
        return ".".join(reversed(names))

    @property
    def part(self) -> str:
        """The part of the config that it is in: an item of a list (`storage.files.0`), or what a key at the top has."""
        steps: list[Place] = []
        place: Place | None = self
        while place is not None and place.key is not None:
            steps.append(place)
            place = place.parent
        item = next((step for step in reversed(steps) if isinstance(step.key, int)), None)
        return (item or steps[-1]).path if steps else ""

    @property
    def path(self) -> str:
        steps: list[str] = []
        place: Place | None = self
        while place is not None and place.key is not None:
            steps.append(str(place.key))
            place = place.parent
        return ".".join(["$", *reversed(steps)])


ROOT = Place(START)


def excerpt(lines: list[str], span: Span) -> list[str]:
    """The lines around `span` with a caret under it, each with its number: what is printed below a message."""
    if not 1 <= span.line <= len(lines):
        return []
    width = len(str(span.line))
    shown = range(max(1, span.line - CONTEXT_LINES), span.line + 1)
    first = _window(span.column, len(lines[span.line - 1]))
    span = _without_indent(lines[span.line - 1], span)
    out = [f" {n:>{width}} | {_cut(lines[n - 1], first if n == span.line else 0)}".rstrip() for n in shown]
    line = lines[span.line - 1]
    end = span.end_column if span.end_line == span.line else len(line) + 1
    end = max(span.column + 1, min(end, first + WIDTH + 1))
    lead = "".join("\t" if c == "\t" else " " * _cells(c) for c in _visible(line[first : span.column - 1]))
    caret = "^" * max(1, sum(_cells(c) for c in _visible(line[span.column - 1 : end - 1])))
    dots = " " if first else ""
    out.append(f" {'':>{width}} | {dots}{lead}{caret}")
    return out


def _without_indent(line: str, span: Span) -> Span:
    """A whole line is underlined from its first letter on."""
    indent = len(line) - len(line.lstrip())
    if span.column > 1 or span.end_line == span.line or indent == len(line):
        return span
    return Span(span.line, indent + 1, span.end_line, span.end_column)


def _window(column: int, length: int) -> int:
    """How many characters to leave out at the left so that `column` is visible."""
    return 0 if length <= WIDTH or column <= WIDTH - 20 else column - 1 - WIDTH // 2


def _cut(line: str, first: int) -> str:
    text = _visible(line[first : first + WIDTH])
    return ("…" if first else "") + text + ("…" if len(line) > first + WIDTH else "")


def _visible(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\t" else "·" for c in text)


def _cells(char: str) -> int:
    """How many columns a terminal gives to the character."""
    if char.isascii():
        return 1
    import unicodedata  # only for text beyond ASCII: loading it costs more than most configs take to translate

    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
