"""Ignition's JSON to a tree of nodes that know their positions: what `yamltree` is for Butane.

Why our own reader over `json`: that one keeps no positions, and lets the last of two equal keys win. Its scanner of
strings is used as it is. The nodes are those of YAML, so that the rest of the translation sees no difference: a string
is never plain, whatever is in it; everything else is. Bounds are those of `yamltree`: size, depth, number of values.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder

from orlop.provision.source import Span
from orlop.provision.yamltree import MAX_DEPTH, MAX_EVENTS, Key, YamlError, YamlKind, YamlNode

_STRINGS = JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")


def parse(text: str) -> YamlNode | None:
    """The root node; None when there is nothing in the text. Raises YamlError."""
    reader = _Reader(text)
    if reader.space() == len(text):
        return None
    node = reader.value(0)
    if reader.space() < len(text):
        raise reader.wrong("there is more text after the end of the config")
    return node


@dataclass(slots=True)
class _Reader:
    """One pass over the text; `at` is where it is, `lines` are the offsets at which lines begin."""

    text: str
    at: int = 0
    nodes: int = 0
    lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # as the report counts lines; JSON text between values has no other line ends than these two
        self.lines = [0, *(match.end() for match in re.finditer("\r\n|[\r\n\x85\u2028\u2029]", self.text))]

    def space(self) -> int:
        """Go behind white space, and say where that is."""
        match = _SPACE.match(self.text, self.at)
        assert match is not None  # it matches nothing as well
        self.at = match.end()
        return self.at

    def span(self, start: int, end: int) -> Span:
        (line, column), (end_line, end_column) = self._position(start), self._position(end)
        return Span(line, column, end_line, end_column)

    def wrong(self, message: str, hint: str = "") -> YamlError:
        return YamlError(message, self.span(self.at, min(self.at + 1, len(self.text))), hint)

    def value(self, depth: int) -> YamlNode:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise self.wrong(f"the config has more than {MAX_DEPTH} levels")
        if self.nodes > MAX_EVENTS:
            raise self.wrong("the config has too many values")
        start = self.space()
        match self.text[start : start + 1]:
            case "{":
                return self._object(start, depth)
            case "[":
                return self._list(start, depth)
            case '"':
                text = self._string()
                return YamlNode(YamlKind.SCALAR, self.span(start, self.at), "str", text)
            case _:
                return self._plain(start)

    def _plain(self, start: int) -> YamlNode:
        plain = _PLAIN.match(self.text, start)
        if plain is None:
            raise self.wrong(
                "not valid JSON: a value is expected here", 'a value is {…}, […], "text", a number, true or false'
            )
        self.at = plain.end()
        return YamlNode(YamlKind.SCALAR, self.span(start, self.at), "", plain[0], plain=True)

    def _object(self, start: int, depth: int) -> YamlNode:
        keys: dict[str, Key] = {}
        self.at += 1
        while not self._ends("}", first=not keys):
            begin = self.space()
            if self.text[begin : begin + 1] != '"':
                raise self.wrong("not valid JSON: a key in quotes is expected here")
            name = self._string()
            span = self.span(begin, self.at)
            if name in keys:
                raise YamlError(
                    f"the key {name[:60]!r} is given twice", span, f"the first is in line {keys[name].span.line}"
                )
            self.space()
            if self.text[self.at : self.at + 1] != ":":
                raise self.wrong("not valid JSON: a colon is expected here")
            self.at += 1
            keys[name] = Key(span, self.value(depth + 1))
        return YamlNode(YamlKind.MAP, self.span(start, self.at), keys=keys)

    def _list(self, start: int, depth: int) -> YamlNode:
        items: list[YamlNode] = []
        self.at += 1
        while not self._ends("]", first=not items):
            items.append(self.value(depth + 1))
        return YamlNode(YamlKind.LIST, self.span(start, self.at), items=items)

    def _ends(self, bracket: str, *, first: bool) -> bool:
        """Whether the object or list ends here; else the comma before its next item is passed over."""
        self.space()
        char = self.text[self.at : self.at + 1]
        if char == bracket:
            self.at += 1
            return True
        if first:
            return False
        if char != ",":
            raise self.wrong(f"not valid JSON: a comma or {bracket} is expected here")
        self.at += 1
        return False

    def _string(self) -> str:
        try:
            found, self.at = _STRINGS.raw_decode(self.text, self.at)
        except JSONDecodeError as e:
            self.at = min(e.pos, len(self.text))
            raise self.wrong(f"not valid JSON: {e.msg[:1].lower()}{e.msg[1:]}") from None
        text = str(found)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.wrong("a string holds half of a character (a surrogate)") from None
        return text

    def _position(self, offset: int) -> tuple[int, int]:
        line = bisect.bisect_right(self.lines, offset)
        return line, offset - self.lines[line - 1] + 1
