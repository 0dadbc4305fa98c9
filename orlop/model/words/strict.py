"""Reading documents and settings strictly: every value has its place, type and bounds, and nothing else is there.

Why unknown keys are refused and not skipped: what a signer meant and a reader skipped is the worst kind of agreement. A
document that must say more takes a new schema number, and is published beside the old one.

Lifetime: a `Fields` lives while one document is read. Errors are `Wrong`, which the document's own reader turns into
an error that names the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from orlop.errors import BadInput
from orlop.model.words.version import Version

T = TypeVar("T")
_KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class Wrong(BadInput):
    """What is wrong in a document, beginning with the place."""


def parse_json(raw: bytes, most: int) -> object:
    """The value of a JSON text of at most `most` bytes in which no object names a key twice. Raises Wrong."""
    if len(raw) > most:
        raise Wrong(f"it has {len(raw)} bytes, at most {most} are read")
    try:
        return json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except Wrong:
        raise
    except (ValueError, RecursionError) as e:
        raise Wrong(f"it is not valid JSON ({e})") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise Wrong(f"the key {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return members


def _no_constant(name: str) -> object:
    raise Wrong(f"{name} is not a valid JSON number")


@dataclass(frozen=True)
class Fields:
    """An object of the document and the place where it stands ("" for the document itself)."""

    place: str
    values: Mapping[str, object]

    @classmethod
    def of(cls, place: str, value: object) -> Fields:
        if not isinstance(value, dict):
            raise Wrong(f"{place or 'it'} must be an object")
        return cls(place, value)

    def only(self, *keys: str) -> None:
        """Raise Wrong for a key that is none of these."""
        for key in self.values:
            if key not in keys:
                raise Wrong(f"{self.at(key)} is unknown here; known are {', '.join(keys)}")

    def at(self, key: str) -> str:
        return f"{self.place}.{key}".lstrip(".")

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def value(self, key: str, kind: type[T], default: T | None = None) -> T:
        """A value of exactly this kind, which must be there when no default is given."""
        given = self.values.get(key, default)
        if type(given) is not kind:
            raise Wrong(f"{self.at(key)} {'is missing' if given is None else f'must be {_KINDS[kind]}'}")
        return given

    def text(self, key: str, most: int, *, empty: bool = False) -> str:
        """At most `most` characters, of which none is a control character but a line's end."""
        text = self.value(key, str)
        if len(text) > most or (not text and not empty):
            raise Wrong(f"{self.at(key)} has {len(text)} characters, must have {0 if empty else 1} to {most}")
        if any(not (c.isprintable() or c == "\n") for c in text):
            raise Wrong(f"{self.at(key)} has characters that cannot be printed")
        return text

    def line(self, key: str, most: int, *, empty: bool = False) -> str:
        """At most `most` characters in one line, all of them printable."""
        line = self.text(key, most, empty=empty)
        if "\n" in line:
            raise Wrong(f"{self.at(key)} has more than one line")
        return line

    def number(self, key: str, least: int, most: int) -> int:
        number = self.value(key, int)
        if not least <= number <= most:
            raise Wrong(f"{self.at(key)} is {number}, must be {least} to {most}")
        return number

    def choice(self, key: str, *choices: str, default: str | None = None) -> str:
        """One of these texts."""
        choice = self.value(key, str, default)
        if choice not in choices:
            raise Wrong(f"{self.at(key)} is {choice[:40]!r}, must be one of {', '.join(choices)}")
        return choice

    def moment(self, key: str) -> datetime:
        """UTC, in whole seconds: 2026-12-01T12:00:00Z."""
        text = self.value(key, str)
        try:
            moment = datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            moment = None
        if moment is None or stamp(moment) != text:
            raise Wrong(f"{self.at(key)} is {text[:40]!r}, must be a moment like 2026-12-01T12:00:00Z")
        return moment

    def version(self, key: str) -> Version:
        text = self.value(key, str)
        try:
            return Version.parse(text)
        except BadInput:
            raise Wrong(f"{self.at(key)} is {text[:40]!r}, must be a version like 20261201.1") from None

    def sha256(self, key: str) -> str:
        digest = self.value(key, str)
        if not is_sha256(digest):
            raise Wrong(f"{self.at(key)} must be a SHA-256 of 64 small hexadecimal digits")
        return digest

    def fields(self, key: str) -> Fields:
        return Fields.of(self.at(key), self.value(key, dict))

    def texts(self, key: str, *, must: bool = False) -> list[str]:
        """A list of texts; empty when it is not there, unless it must be."""
        texts = self.value(key, list, None if must else [])
        for n, value in enumerate(texts):
            if not isinstance(value, str):
                raise Wrong(f"{self.at(key)}[{n}] must be text")
        return texts

    def numbers(self, key: str, least: int, most: int) -> list[int]:
        """A list of whole numbers."""
        values = self.value(key, list)
        entries = Fields(self.place, {f"{key}[{n}]": value for n, value in enumerate(values)})
        return [entries.number(place, least, most) for place in entries.values]

    def items(self, key: str, most: int) -> Iterator[Fields]:
        """The objects of a list, at most `most` of them."""
        values = self.value(key, list)
        if len(values) > most:
            raise Wrong(f"{self.at(key)} has {len(values)} entries, at most {most} are read")
        for n, value in enumerate(values):
            yield Fields.of(f"{self.at(key)}[{n}]", value)


def is_sha256(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def stamp(moment: datetime) -> str:
    """How a moment is written: UTC, in whole seconds."""
    at = moment.astimezone(UTC)
    return f"{at.year:04}" + at.strftime("-%m-%dT%H:%M:%SZ")
