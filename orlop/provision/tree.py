"""Decoded values: objects and lists that know their type and, for every value, its place in the source.

The same tree goes through the whole translation: decoded from YAML, rewritten by the sugar, checked by the rules,
written as JSON. Keys keep their Butane names until they are written. Values are never changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from orlop.provision.schema import Type
from orlop.provision.source import Place

Value: TypeAlias = "str | int | bool | Obj | Seq"


@dataclass(frozen=True, slots=True)
class Seq:
    """A list: items of one kind, each with its place."""

    place: Place
    items: tuple[Value, ...] = ()
    places: tuple[Place, ...] = ()

    def objects(self) -> list[Obj]:
        return [item for item in self.items if isinstance(item, Obj)]

    def texts(self) -> list[str]:
        return [item for item in self.items if isinstance(item, str)]

    def plus(self, *more: Obj) -> Seq:
        return Seq(self.place, (*self.items, *more), (*self.places, *(obj.place for obj in more)))


@dataclass(frozen=True, slots=True)
class Obj:
    """An object. A key that is not in `values` was not given (or was null)."""

    type: Type
    place: Place
    values: dict[str, Value] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, name: str) -> bool | None:
        value = self.values.get(name)
        return value if isinstance(value, bool) else None

    def obj(self, name: str) -> Obj:
        """The object at `name`; an empty one if it is not there."""
        value = self.values.get(name)
        if isinstance(value, Obj):
            return value
        kind = self.type.by_name[name].kind
        assert isinstance(kind, Type)
        return Obj(kind, self.place.at(name))

    def seq(self, name: str) -> Seq:
        """The list at `name`; an empty one if it is not there."""
        value = self.values.get(name)
        return value if isinstance(value, Seq) else Seq(self.place.at(name))

    def objs(self, name: str) -> list[Obj]:
        return self.seq(name).objects()

    def texts(self, name: str) -> list[str]:
        return self.seq(name).texts()

    def at(self, name: str) -> Place:
        """The place of the value at `name`; of the object itself, one step down, if it is not there."""
        return self.places.get(name) or self.place.at(name)

    def put(self, name: str, value: Value, place: Place | None = None) -> Obj:
        """A copy in which `name` is `value`."""
        where = place or (value.place if isinstance(value, (Obj, Seq)) else self.at(name))
        return replace(self, values={**self.values, name: value}, places={**self.places, name: where})

    def without(self, *names: str) -> Obj:
        return replace(self, values={k: v for k, v in self.values.items() if k not in names})

    @property
    def empty(self) -> bool:
        """Nothing in it would be written."""
        return not any(_written(value) for value in self.values.values())

    def key(self) -> str:
        """What tells it apart from others in a list: see `Type.key`. Partitions have a number or a label."""
        if self.type.name == "partition":
            number, label = self.number("number"), self.text("label")
            return f"number {number}" if number else f"label {label}" if label is not None else ""
        return self.text(self.type.key) or ""


def _written(value: Value) -> bool:
    if isinstance(value, Obj):
        return not value.empty
    return bool(value.items) if isinstance(value, Seq) else True


def made(kind: Type, place: Place, **values: Value | None) -> Obj:
    """An object that the sugar makes: everything in it came from `place`."""
    given = {name: value for name, value in values.items() if value is not None}
    places = {name: value.place if isinstance(value, (Obj, Seq)) else place for name, value in given.items()}
    return Obj(kind, place, given, places)


def listed(place: Place, items: list[str] | list[Obj]) -> Seq:
    """A list that the sugar makes."""
    return Seq(place, tuple(items), tuple(item.place if isinstance(item, Obj) else place for item in items))


def walk(obj: Obj) -> Iterator[Obj]:
    """The object and every object below it. The depth is that of the schema."""
    yield obj
    for value in obj.values.values():
        if isinstance(value, Obj):
            yield from walk(value)
        elif isinstance(value, Seq):
            for item in value.objects():
                yield from walk(item)
