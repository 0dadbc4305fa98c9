"""The syntax of unit files as Ignition's parser (go-systemd) has it, which is stricter in places than systemd.

The text is read as UTF-8; line lengths are bytes. Differences from systemd that matter: a line may have at most 2047
bytes, text before the first section is skipped, and every line of a section needs an `=`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINE = 2047
_LONG = re.compile(rf"[^\r\n]{{{MAX_LINE // 4},}}")  # in characters; one has at most four bytes
_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


@dataclass(frozen=True, slots=True)
class UnitFile:
    """What was read: `options` as (section, name). `problem` is "" or says what is wrong in line `line` (from 1)."""

    options: frozenset[tuple[str, str]] = frozenset()
    problem: str = ""
    line: int = 0

    @property
    def sections(self) -> frozenset[str]:
        """Sections that have at least one option."""
        return frozenset(section for section, _ in self.options)


class _Bad(Exception):
    pass


def parse(text: str) -> UnitFile:
    """The options of a unit file, or its first problem."""
    for line in _LONG.finditer(text):
        if len(line[0].encode()) > MAX_LINE:
            return UnitFile(problem=f"it is longer than {MAX_LINE} bytes", line=text.count("\n", 0, line.start()) + 1)
    reader = _Reader(text)
    try:
        reader.read()
    except _Bad as e:
        return UnitFile(problem=str(e), line=text.count("\n", 0, min(reader.mark, len(text))) + 1)
    return UnitFile(frozenset(reader.options))


class _Reader:
    """One pass over the text; `mark` is where the item being read began."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.mark = 0
        self.options: set[tuple[str, str]] = set()

    def read(self) -> None:
        section = self._before_sections()
        while section is not None:
            section = self._section(section)

    def _before_sections(self) -> str | None:
        """Everything before the first [ is skipped; comments are skipped by line."""
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            self.at += 1
            if char == "[":
                return self._name()
            if char in "#;":
                self._comment()
        return None

    def _section(self, name: str) -> str | None:
        """Options up to the next section, whose name is returned; None at the end."""
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            self.mark = self.at
            if char in _SPACE:
                self.at += 1
            elif char == "[":
                self.at += 1
                return self._name()
            elif char in "#;":
                self.at += 1
                self._comment()
            else:
                self.options.add((name, self._option()))
        return None

    def _name(self) -> str:
        """The name of a section; `at` is behind its [."""
        self.mark = self.at - 1
        end = self.text.find("]", self.at)
        if end < 0:
            raise _Bad("a section name is not closed by ]")
        name, self.at = self.text[self.at : end], end + 1
        rest = self._rest()
        if rest.strip(_SPACE):
            raise _Bad(f"there is text after the section name [{name}]")
        return name

    def _comment(self) -> None:
        while self.at < len(self.text):
            line = self._rest()
            if not line.removesuffix(" ").endswith("\\"):
                return

    def _option(self) -> str:
        """The name of an option; its value, with the lines that continue it, is passed over."""
        text = self.text
        end = self.at
        while end < len(text) and text[end] not in "=\r\n":
            end += 1
        if end == len(text) or text[end] != "=":
            raise _Bad(f"{text[self.at : min(end, self.at + 30)]!r} has no = after it")
        name, self.at = text[self.at : end].strip(_SPACE), end + 1
        while True:
            line = self._rest()
            if not line.strip(_SPACE) or not line.endswith("\\") or self.at >= len(text):
                return name

    def _rest(self) -> str:
        """The rest of the line; `at` goes behind its end."""
        end = self.text.find("\n", self.at)
        if end < 0:
            line, self.at = self.text[self.at :], len(self.text)
            return line.removesuffix("\r")
        line, self.at = self.text[self.at : end], end + 1
        return line
