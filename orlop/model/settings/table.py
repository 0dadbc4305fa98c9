"""What an entry in the table of settings is, and the typed values that are read by it.

One entry a setting: its name, what its value may be, how often and whether it must be there, its default, a sentence
about it, and the code that reads it. The translator's rules, the reference and the node's own reader derive from it, so
nothing about a setting is said anywhere else.

Lifetime: entries are made when the module that holds them is loaded; values live as long as what is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from orlop.errors import BadInput
from orlop.model.settings.kinds import ValueKind, WholeNumber

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
V = TypeVar("V")


@dataclass(frozen=True, eq=False)
class Setting(Generic[T_co]):
    """One key. `T_co` is what its reader gets: a value, a value or None, or a tuple of values.

    `default`: as it would be written. `many`: it is a list of at most so many, each once; 0 when it is none. `reader`:
    the file in the repository whose code acts on it, or the program of the system that does. `needs`: with this value,
    the setting beside it must be there too.
    """

    name: str
    kind: ValueKind[Any] | WholeNumber | SettingsTable
    doc: str
    reader: str
    default: str = ""
    required: bool = False
    many: int = 0
    needs: tuple[str, str] | None = None

    @property
    def usually(self) -> object:
        """The default, as it would be written."""
        return int(self.default) if isinstance(self.kind, WholeNumber) else self.default

    def one(self, value: object, called: str) -> object:
        """What a single value that is no table is worth. Raises BadInput, which begins with what it is called."""
        if isinstance(self.kind, WholeNumber):
            if type(value) is not int:
                raise BadInput(f"{called} must be a whole number, {self.kind.said}")
            return self.kind.read(value, called)
        if isinstance(self.kind, SettingsTable) or not isinstance(value, str):
            raise BadInput(f"{called} must be {'a table' if isinstance(self.kind, SettingsTable) else 'text'}")
        return self.kind.read(value, called)

    def lacks(self, called: str) -> str:
        """What to say when what a value needs beside it is not there."""
        assert self.needs is not None
        value, beside = self.needs
        return f"{called} cannot be {value} without a {beside}"


@dataclass(frozen=True, eq=False)
class SettingsTable:
    """Settings that stand together. `key`: the setting that tells two of them apart, in a list."""

    name: str
    settings: tuple[Setting[Any], ...]
    key: str = ""


@dataclass(frozen=True)
class SettingValues:
    """What was read by a table: every setting of it has its value, its default, or None."""

    by_name: Mapping[str, object]

    def __getitem__(self, setting: Setting[T]) -> T:
        return cast("T", self.by_name[setting.name])


def must(name: str, kind: ValueKind[V], doc: str, reader: str) -> Setting[V]:
    """It must be there."""
    return Setting(name, kind, doc, reader, required=True)


def number(name: str, kind: WholeNumber, doc: str, reader: str) -> Setting[int]:
    """It must be there."""
    return Setting(name, kind, doc, reader, required=True)


def usual(
    name: str, kind: ValueKind[V], default: str, doc: str, reader: str, *, needs: tuple[str, str] | None = None
) -> Setting[V]:
    """It has a default."""
    return Setting(name, kind, doc, reader, default=default, needs=needs)


def count(name: str, kind: WholeNumber, default: int, doc: str, reader: str) -> Setting[int]:
    """It has a default."""
    return Setting(name, kind, doc, reader, default=str(default))


def maybe(name: str, kind: ValueKind[V], doc: str, reader: str) -> Setting[V | None]:
    return Setting(name, kind, doc, reader)


def some(name: str, kind: ValueKind[V], most: int, doc: str, reader: str) -> Setting[tuple[V, ...]]:
    """A list, which may be empty."""
    return Setting(name, kind, doc, reader, many=most)


def group(name: str, table: SettingsTable, doc: str, reader: str) -> Setting[SettingValues | None]:
    return Setting(name, table, doc, reader)


def groups(name: str, table: SettingsTable, most: int, doc: str, reader: str) -> Setting[tuple[SettingValues, ...]]:
    return Setting(name, table, doc, reader, many=most)
