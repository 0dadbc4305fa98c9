"""Nodes to values, by the table. Every node is either used, or named in the report."""

from __future__ import annotations

from dataclasses import dataclass

from orlop.provision.report import Report
from orlop.provision.scalars import as_bool, as_int, is_null, shown
from orlop.provision.schema import Field, Scalar, Type
from orlop.provision.source import Place
from orlop.provision.tree import Obj, Seq, Value
from orlop.provision.yamltree import Kind, Node, YamlError

MAX_VALUES = 600_000  # visits, so that aliases of aliases cannot multiply without bound


@dataclass(slots=True)
class Decoder:
    """`closed`: an unknown key is an error; else it is a warning and left out, as Butane does it."""

    report: Report
    closed: bool = False
    visits: int = 0

    def obj(self, node: Node, kind: Type, place: Place) -> Obj:
        """The object that `node` describes. The caller has seen that it is a mapping."""
        self._count(node)
        values: dict[str, Value] = {}
        places: dict[str, Place] = {}
        for name, key in node.keys.items():
            field = kind.by_name.get(name)
            if field is None:
                self._unknown(name, kind, place.at(name, key.span))
                continue
            where = place.at(name, key.value.span)
            value = self._value(key.value, field, where)
            if value is not None:
                values[name] = value
                places[name] = value.place if isinstance(value, (Obj, Seq)) else where
        for field in kind.fields:
            if field.required and not is_given(values.get(field.name)) and not _misread(node, field.name):
                self.report.error(place, f"{field.name} is missing", f"{field.name}: {field.doc}")
        return Obj(kind, place, values, places)

    def _value(self, node: Node, field: Field, place: Place) -> Value | None:
        self._count(node)
        if is_null(node):
            return None
        if not field.many:
            return self._one(node, field, place)
        if node.kind is not Kind.LIST:
            self.report.error(place, f"{field.name} needs a list, not {shown(node)}", "begin each item with `- `")
            return None
        items: list[Value] = []
        places: list[Place] = []
        for index, item in enumerate(node.items):
            where = place.at(index, item.span)
            self._count(item)
            if is_null(item):
                self.report.error(where, f"this item of {field.name} is empty", "")
                continue
            value = self._one(item, field, where)
            if value is not None:
                items.append(value)
                places.append(where)
        return Seq(place, tuple(items), tuple(places))

    def _one(self, node: Node, field: Field, place: Place) -> Value | None:
        if isinstance(field.kind, Type):
            if node.kind is Kind.MAP:
                return self.obj(node, field.kind, place)
            known = ", ".join(f.name for f in field.kind.fields[:4])
            self.report.error(place, f"{field.name} needs a mapping, not {shown(node)}", f"its keys: {known}, …")
            return None
        if node.kind is not Kind.SCALAR:
            self.report.error(place, f"{field.name} needs a single {field.kind.value}, not {node.kind.value}", "")
            return None
        value = _scalar(node, field)
        if isinstance(value, _Wrong):
            self.report.error(place, f"{field.name} {value.reason}", "")
            return None
        if field.choices and value not in field.choices:
            self.report.error(place, f"{field.name} cannot be {shown(node)}", f"one of: {', '.join(field.choices)}")
            return None
        return value

    def _unknown(self, name: str, kind: Type, place: Place) -> None:
        hint = "" if self.report.full else suggestion(name, tuple(kind.by_name))
        if self.closed:
            self.report.error(place, f"unknown key {_short(name)!r}", hint)
        else:
            self.report.warn(place, f"unknown key {_short(name)!r}: it is left out", hint)

    def _count(self, node: Node) -> None:
        self.visits += 1
        if self.visits > MAX_VALUES:
            raise YamlError("the config has too many values once its aliases are followed", node.span)


@dataclass(frozen=True, slots=True)
class _Wrong:
    reason: str


def _scalar(node: Node, field: Field) -> str | int | bool | _Wrong:
    if field.kind is Scalar.STRING:
        return node.text
    if field.kind is Scalar.BOOL:
        flag = as_bool(node)
        return _Wrong(flag) if isinstance(flag, str) else flag
    number = as_int(node)
    if isinstance(number, str):
        return _Wrong(number)
    return _Wrong("cannot be negative") if number < 0 else number


def is_given(value: Value | None) -> bool:
    """A required key must have something in it."""
    if isinstance(value, Seq):
        return bool(value.items)
    return value is not None and value != ""


def _misread(node: Node, name: str) -> bool:
    """It was there and something else is already said about it."""
    key = node.keys.get(name)
    if key is None or is_null(key.value):
        return False
    return not (key.value.kind is Kind.SCALAR and key.value.text == "") and not (
        key.value.kind is Kind.LIST and not key.value.items
    )


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """What the user may have meant, or the names there are."""
    import difflib  # only when something is wrong

    plain = name.lower().replace("-", "_")
    snake = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_").replace("_mi_b", "_mib")
    for guess in (plain, snake):
        if guess in known:
            return f"did you mean {guess}?"
    close = difflib.get_close_matches(_short(snake), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(sorted(known))}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
