"""The words a table of the config language is written in.

One table (`spec_base`, `spec_variants`) says for every key: its name, its kind, its name in Ignition, whether it must
be there, and one sentence about it. From it derive decoding, "did you mean", duplicate checks, merging, the JSON that
is written, and the reference. Nothing about a key is said anywhere else, except rules about values (`rules/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache


class Scalar(Enum):
    STRING = "string"
    INT = "integer"
    BOOL = "boolean"
    MODE = "mode"  # an integer that people write in octal


@dataclass(frozen=True, slots=True)
class Field:
    """One key. `kind` of a list is the kind of its items.

    `json`: its name in Ignition; "" derives it from `name`, None means it is ours alone and never written out.
    `unique`: items of a list may not repeat (by `Type.key`); lists with the same `group` share one set of keys.
    `said`: what a value must be, where the table of settings knows it; `reader`: who reads it, "" for Ignition.
    `since`: the base that brought it: 1 is Ignition 3.0, 7 is Ignition 3.6 (see `variants`).
    """

    name: str
    kind: Scalar | Type
    doc: str
    many: bool = False
    required: bool = False
    json: str | None = ""
    unique: bool = True
    group: str = ""
    choices: tuple[str, ...] = ()
    default: str = ""
    said: str = ""
    reader: str = ""
    since: int = 1

    @property
    def out(self) -> str | None:
        return camel(self.name) if self.json == "" else self.json


@dataclass(frozen=True, slots=True)
class Type:
    """An object: its fields in the order in which Ignition writes them, and which field tells two of them apart.

    `by_json`: the fields by the names that Ignition's JSON has for them.
    """

    name: str
    fields: tuple[Field, ...]
    key: str = ""
    by_name: Mapping[str, Field] = field(default_factory=dict, compare=False, repr=False)
    by_json: Mapping[str, Field] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {f.name: f for f in self.fields})
        object.__setattr__(self, "by_json", {f.out: f for f in self.fields if f.out is not None})


@cache
def camel(name: str) -> str:
    """snake_case to Ignition's camelCase: `home_dir` → `homeDir`, `size_mib` → `sizeMiB`."""
    if name.endswith("_mib"):
        return camel(name[:-4]) + "MiB"
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def string(name: str, doc: str, **more: object) -> Field:
    return Field(name, Scalar.STRING, doc, **more)  # type: ignore[arg-type]


def strings(name: str, doc: str, **more: object) -> Field:
    return Field(name, Scalar.STRING, doc, many=True, **more)  # type: ignore[arg-type]


def integer(name: str, doc: str, **more: object) -> Field:
    return Field(name, Scalar.INT, doc, **more)  # type: ignore[arg-type]


def boolean(name: str, doc: str, **more: object) -> Field:
    return Field(name, Scalar.BOOL, doc, **more)  # type: ignore[arg-type]


def mode(doc: str, name: str = "mode", **more: object) -> Field:
    return Field(name, Scalar.MODE, doc, **more)  # type: ignore[arg-type]


def one(name: str, kind: Type, doc: str, **more: object) -> Field:
    return Field(name, kind, doc, **more)  # type: ignore[arg-type]


def many(name: str, kind: Type, doc: str, **more: object) -> Field:
    return Field(name, kind, doc, many=True, **more)  # type: ignore[arg-type]
