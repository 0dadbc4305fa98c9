"""A unit file as fleet reads it, byte for byte: go-systemd's reader and writer of fleet 1.0.0.

Why our own and not configparser: a hash of what was read names the file for ever, so what is a comment, where a value
ends and which blanks count must be what it was. Each option knows its line, for who must be told what is wrong there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from orlop.errors import BadInput
from orlop.model.words.line import line as shown

SECTION = "X-Fleet"
LONGEST_LINE = 2048  # bytes: systemd's own limit when fleet was written
LARGEST = 64 << 10  # bytes of a file
# Go's unicode.IsSpace: Python's own has four control characters more
SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"  # noqa: E501  # fmt: skip


@dataclass(frozen=True)
class UnitOption:
    """`line` is where its name stands, from 1; 0 when it did not come from a text."""

    section: str
    name: str
    value: str
    line: int = 0


@dataclass(frozen=True)
class FleetFile:
    """`stray` is the line of the first text before any section, which is read by nobody; 0 without one."""

    options: tuple[UnitOption, ...]
    stray: int = 0

    def values(self, section: str, name: str) -> list[str]:
        return [option.value for option in self.options if (option.section, option.name) == (section, name)]

    @property
    def description(self) -> str:
        return next(iter(self.values("Unit", "Description")), "")

    def fleet(self) -> Iterator[tuple[UnitOption, str]]:
        """Each value of `[X-Fleet]`, with the option that it is from: one line may have several, in quotes."""
        for option in self.options:
            if option.section == SECTION:
                for value in several(option.value):
                    yield option, value

    def text(self) -> str:
        """The canonical form: sections together in the order they were first seen, no comments."""
        sections: dict[str, list[UnitOption]] = {}
        for option in self.options:
            sections.setdefault(option.section, []).append(option)
        bodies = (
            f"[{name}]\n" + "".join(f"{option.name}={option.value}\n" for option in options)
            for name, options in sections.items()
        )
        return "\n".join(bodies)

    @property
    def hash(self) -> str:
        """SHA-1 of the canonical form, 40 hexadecimal digits: what fleet names a file by."""
        return hashlib.sha1(self.text().encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()


def several(value: str) -> list[str]:
    """The values of a line that begins and ends with a quote; any other line is one value."""
    if not (value.startswith('"') and value.endswith('"')):
        return [value]
    values, quoted, now = [], False, ""
    for char in value:
        if char == '"':
            quoted = not quoted
        elif char == " " and not quoted:
            values.append(now)
            now = ""
        else:
            now += char
    return [*values, now]


def parse(text: str) -> FleetFile:
    """Raises BadInput, with the line."""
    if len(text.encode(errors="surrogateescape")) > LARGEST:
        raise BadInput(f"the unit has more than {LARGEST >> 10} KiB")
    return _UnitReader(text).read()


class _UnitReader:
    """A place in the text, moved on by each step as the old reader's was."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._line = text, 0, 1
        self._options: list[UnitOption] = []
        self._stray = 0
        for number, line in enumerate(text.split("\n"), 1):
            if any(len(part.encode(errors="surrogateescape")) >= LONGEST_LINE for part in line.split("\r")):
                raise self._wrong(f"it has {LONGEST_LINE} bytes or more", number)

    def read(self) -> FleetFile:
        section = self._first_section()
        while section is not None:
            section = self._section(section)
        return FleetFile(tuple(self._options), self._stray)

    def _first_section(self) -> str | None:
        """What stands before it is skipped, but for comments, in which a [ begins nothing."""
        while self._at < len(self._text):
            char = self._take()
            if char == "[":
                return self._section_name()
            if char in "#;":
                self._comment()
            elif char not in SPACE and not self._stray:
                self._stray = self._line
        return None

    def _section_name(self) -> str:
        end = self._text.find("]", self._at)
        if end < 0:
            raise self._wrong("a [ has no ] that ends it")
        name, line = self._text[self._at : end], self._line
        self._line += name.count("\n")
        self._at = end + 1
        if self._rest_of_line()[0].strip(SPACE):
            raise self._wrong(f"something stands behind [{shown(name, 40)}]", line)
        return name

    def _section(self, name: str) -> str | None:
        """Its options; the name of the next section, None at the end."""
        while self._at < len(self._text):
            char = self._take()
            if char in SPACE:
                continue
            if char == "[":
                return self._section_name()
            if char in "#;":
                self._comment()
                continue
            self._at -= 1
            self._option(name)
        return None

    def _option(self, section: str) -> None:
        line, begin = self._line, self._at
        while self._at < len(self._text) and self._text[self._at] not in "=\r\n":
            self._at += 1
        name = self._text[begin : self._at]
        if self._text[self._at : self._at + 1] != "=":
            raise self._wrong(f"{shown(name, 40)!r} has no =", line)
        self._at += 1
        self._options.append(UnitOption(section, name.strip(SPACE), self._value(), line))

    def _value(self) -> str:
        """A line, and those that it goes on in: they stay as they were written, with backslash and line end."""
        value = ""
        while True:
            text, at_end = self._rest_of_line()
            if not text.strip(SPACE):
                break
            value += text
            if not text.endswith("\\"):
                break
            if not at_end:
                value += "\n"
        return value.strip(SPACE) + ("\n" if value.endswith("\n") else "")

    def _comment(self) -> None:
        """To its end: it goes on in the next line when it ends in a backslash, be a blank behind that."""
        while self._rest_of_line()[0].removesuffix(" ").endswith("\\"):
            pass

    def _take(self) -> str:
        char = self._text[self._at]
        self._at += 1
        self._line += char == "\n"
        return char

    def _rest_of_line(self) -> tuple[str, bool]:
        """Without its end; and whether the text ends here."""
        end = self._text.find("\n", self._at)
        if end < 0:
            text, self._at = self._text[self._at :], len(self._text)
            return text.removesuffix("\r"), True
        text, self._at = self._text[self._at : end], end + 1
        self._line += 1
        return text, False

    def _wrong(self, what: str, line: int = 0) -> BadInput:
        return BadInput(f"line {line or self._line}: {what}")
