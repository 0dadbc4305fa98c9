"""The finished tree as Ignition's JSON: keys in the order in which Ignition writes them, without what is empty."""

from __future__ import annotations

import json
from typing import Any

from orlop.provision.tree import Obj, Seq, Value
from orlop.provision.variants import IGNITION_VERSION


def ignition_json(root: Obj, *, pretty: bool = False) -> str:
    """The config, ending in a newline when `pretty`; else in one line, as it is sent to machines."""
    config: dict[str, Any] = {"ignition": {"version": IGNITION_VERSION}}
    out = _object(root)
    config["ignition"] = {**out.pop("ignition", {}), "version": IGNITION_VERSION}
    config.update(out)
    if pretty:
        return json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    return json.dumps(config, separators=(",", ":"), ensure_ascii=False)


def _object(obj: Obj) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in obj.type.fields:
        name = field.out
        value = obj.values.get(field.name)
        if name is None or value is None or _left_out(field.name, value):
            continue
        out[name] = _value(value)
    return out


def _left_out(name: str, value: Value) -> bool:
    if isinstance(value, Obj):
        return value.empty
    if isinstance(value, Seq):
        return not value.items
    return name == "number" and value == 0  # Ignition knows no difference between 0 and nothing here


def _value(value: Value) -> Any:
    if isinstance(value, Obj):
        return _object(value)
    if isinstance(value, Seq):
        return [_value(item) for item in value.items]
    return value
