"""Texts of local files: those of units, of drop-ins, and SSH keys, one a line."""

from __future__ import annotations

import re

from orlop.provision.local import LocalFiles
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.sugar.resources import read
from orlop.provision.tree import Obj, Seq, Value


def desugar(obj: Obj, files: LocalFiles, report: Report) -> Obj:
    """`obj` with the text of every local file in the place of its name."""
    values: dict[str, Value] = {}
    for name, value in obj.values.items():
        values[name] = value
        if isinstance(value, Obj):
            values[name] = desugar(value, files, report)
        elif isinstance(value, Seq) and value.objects():
            values[name] = Seq(value.place, tuple(desugar(o, files, report) for o in value.objects()), value.places)
    obj = Obj(obj.type, obj.place, values, obj.places)
    if obj.type.name in ("unit", "dropin"):
        return _contents(obj, files, report)
    return _keys(obj, files, report) if obj.type.name == "passwd_user" else obj


def _contents(obj: Obj, files: LocalFiles, report: Report) -> Obj:
    path, place = obj.text("contents_local"), obj.at("contents_local")
    if not path:
        return obj.without("contents_local")
    if obj.has("contents"):
        report.error(place, "contents and contents_local are both given", "give one of them")
        return obj.without("contents_local")
    text = _text(path, place, files, report)
    return obj.without("contents_local").put("contents", text or "", place)


def _keys(user: Obj, files: LocalFiles, report: Report) -> Obj:
    local = user.seq("ssh_authorized_keys_local")
    if not local.items:
        return user.without("ssh_authorized_keys_local")
    keys = user.seq("ssh_authorized_keys")
    items, places = list(keys.items), list(keys.places)
    for path, place in zip(local.texts(), local.places, strict=True):
        lines = [line for line in re.split("\r?\n", _text(path, place, files, report) or "") if line]
        items += lines
        places += [place] * len(lines)
    where = keys.place if keys.items else local.place
    user = user.without("ssh_authorized_keys_local")
    return user.put("ssh_authorized_keys", Seq(where, tuple(items), tuple(places)), where)


def _text(path: str, place: Place, files: LocalFiles, report: Report) -> str | None:
    data = read(files, path, place, report)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        report.error(place, f"{path!r} is not UTF-8 text", "name a file of text")
        return None
