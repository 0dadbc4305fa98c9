"""No two entries of a list may have the same key, by the table: paths, names, devices, URLs."""

from __future__ import annotations

from orlop.provision.report import Report
from orlop.provision.schema import Type
from orlop.provision.source import Place
from orlop.provision.tree import Obj, Seq, walk


def check(root: Obj, report: Report) -> None:
    for obj in walk(root):
        seen: dict[tuple[str, str], Place] = {}
        for name, value in obj.values.items():
            field = obj.type.by_name[name]
            if not isinstance(value, Seq) or not field.unique:
                continue
            for item, place in zip(value.items, value.places, strict=True):
                key = item.key() if isinstance(item, Obj) else str(item)
                first = seen.setdefault((field.group or field.name, key), place)
                if first is not place and (key or not isinstance(field.kind, Type)):
                    _say(key, first, place, report)


def _say(key: str, first: Place, place: Place, report: Report) -> None:
    if (place.span.line, place.span.column) < (first.span.line, first.span.column):
        first, place = place, first
    shown = key if len(key) <= 60 else key[:57] + "…"
    report.error(place, f"{shown!r} is given twice", f"the first is in line {first.span.line}")
