"""Nodes to values, by the table. Every node is either used, or named in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute

from orlop.provision.report import Report
from orlop.provision.scalars import as_bool, as_int, is_null, shown
from orlop.provision.schema import Field, Scalar, Type
from orlop.provision.source import Place
from orlop.provision.tree import Obj, Seq, Value
from orlop.provision.yamltree import YamlError, YamlKind, YamlNode

NEWEST = 7  # the newest base there is
LATER = "it came with a later version: raise `version`"
MAX_VALUES = 600_000  # visits, so that aliases of aliases cannot multiply without bound


@dataclass(slots=True)
class Decoder:
    """`closed`: an unknown key is an error; else it is a warning and left out, as Butane does it. `unread`: by path,
    what to do instead of giving a key that nothing would read. `level`: keys of a later base are not known. `hidden`:
    paths that are not known either. `json`: the names are those of Ignition's JSON. `wrong`: where errors were found.
    """

    report: Report
    closed: bool = False
    unread: Mapping[str, str] = attribute(default_factory=dict)
    level: int = NEWEST
    hidden: frozenset[str] = frozenset()
    json: bool = False
    visits: int = 0
    wrong: list[Place] = attribute(default_factory=list)

    def obj(self, node: YamlNode, kind: Type, place: Place) -> Obj:
        """The object that `node` describes. The caller has seen that it is a mapping."""
        self._count(node)
        values: dict[str, Value] = {}
        places: dict[str, Place] = {}
        for name, key in node.keys.items():
            field = self._names(kind).get(name)
            if field is None or not self._has(field, place):
                self._unknown(name, field, kind, place.at(name, key.span))
                continue
            where = place.at(name, key.value.span)
            value = self._value(key.value, field, where)
            if value is not None:
                values[field.name] = value
                places[field.name] = value.place if isinstance(value, (Obj, Seq)) else where
        for name, field in self._names(kind).items():
            if field.required and not is_given(values.get(field.name)) and not _misread(node, name):
                self._error(place, f"{name} is missing", f"{name}: {field.doc}")
        return Obj(kind, place, values, places)

    def _names(self, kind: Type) -> Mapping[str, Field]:
        return kind.by_json if self.json else kind.by_name

    def _has(self, field: Field, above: Place) -> bool:
        """Whether the version of the language that the config is written in has the key."""
        return field.since <= self.level and not (self.hidden and above.at(field.name).keys in self.hidden)

    def _error(self, place: Place, message: str, hint: str = "") -> None:
        self.wrong.append(place)
        self.report.error(place, message, hint)

    def _value(self, node: YamlNode, field: Field, place: Place) -> Value | None:
        self._count(node)
        if is_null(node):
            return None
        if not field.many:
            return self._one(node, field, place)
        if node.kind is not YamlKind.LIST:
            hint = "write [ ] around it" if self.json else "begin each item with `- `"
            self._error(place, f"{place.key} needs a list, not {shown(node)}", hint)
            return None
        items: list[Value] = []
        places: list[Place] = []
        for index, item in enumerate(node.items):
            where = place.at(index, item.span)
            self._count(item)
            if is_null(item):
                self._error(where, f"this item of {place.key} is empty")
                continue
            value = self._one(item, field, where)
            if value is not None:
                items.append(value)
                places.append(where)
        return Seq(place, tuple(items), tuple(places))

    def _one(self, node: YamlNode, field: Field, place: Place) -> Value | None:
        if isinstance(field.kind, Type):
            if node.kind is YamlKind.MAP:
                return self.obj(node, field.kind, place)
            known = ", ".join(list(self._names(field.kind))[:4])
            self._error(place, f"{field.name} needs a mapping, not {shown(node)}", f"its keys: {known}, …")
            return None
        if node.kind is not YamlKind.SCALAR:
            self._error(place, f"{field.name} needs a single {field.kind.value}, not {node.kind.value}")
            return None
        value = _scalar(node, field, json=self.json)
        if isinstance(value, _Wrong):
            self._error(place, f"{field.name} {value.reason}")
            return None
        if field.choices and value not in field.choices:
            self._error(place, f"{field.name} cannot be {shown(node)}", f"one of: {', '.join(field.choices)}")
            return None
        return value

    def _unknown(self, name: str, field: Field | None, kind: Type, place: Place) -> None:
        if (instead := self.unread.get(place.path.removeprefix("$."))) is not None:
            self._error(place, f"{name} is not supported: nothing would read it", instead)
            return
        if field is not None and not self.closed:
            self.report.warn(place, f"this version does not have the key {name!r}: it is left out", LATER)
            return
        known = tuple(n for n, f in self._names(kind).items() if self._has(f, place.parent or place))
        hint = "" if self.report.full else suggestion(name, known)
        if self.closed:
            self._error(place, f"unknown key {_short(name)!r}", hint)
        else:
            self.report.warn(place, f"unknown key {_short(name)!r}: it is left out", hint)

    def _count(self, node: YamlNode) -> None:
        self.visits += 1
        if self.visits > MAX_VALUES:
            raise YamlError("the config has too many values once its aliases are followed", node.span)


@dataclass(frozen=True, slots=True)
class _Wrong:
    reason: str


def _scalar(node: YamlNode, field: Field, *, json: bool) -> str | int | bool | _Wrong:
    if field.kind is Scalar.STRING:
        return _Wrong(f"needs text in quotes, not {node.text}") if json and node.plain else node.text
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


def _misread(node: YamlNode, name: str) -> bool:
    """It was there and something else is already said about it."""
    key = node.keys.get(name)
    if key is None or is_null(key.value):
        return False
    return not (key.value.kind is YamlKind.SCALAR and key.value.text == "") and not (
        key.value.kind is YamlKind.LIST and not key.value.items
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
