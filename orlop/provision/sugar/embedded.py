"""Configs within the config, given as contents: those of a newer Ignition are written as the one that machines read.

The others stay as they are, byte for byte. What is fetched by the machine is not seen here; the machine says then that
it cannot read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from orlop.provision.report import Report
from orlop.provision.rules.quadlets import content
from orlop.provision.sugar.resources import with_data
from orlop.provision.tree import Obj, Seq
from orlop.provision.variants import IGNITION_LEVEL, JSON_VARIANTS

_NEWER = {f'"{v.version}"' for v in JSON_VARIANTS if v.level > IGNITION_LEVEL}


@dataclass(frozen=True)
class Older:
    """`ignition`: the config as machines read it; None when it has none, and `why` it has not."""

    ignition: str | None
    why: str = ""


def desugar(root: Obj, translate: Callable[[bytes], Older], report: Report) -> Obj:
    ignition = root.obj("ignition")
    config = ignition.obj("config")
    changed = config
    for name in ("merge", "replace"):
        value = config.values.get(name)
        if isinstance(value, Obj):
            changed = changed.put(name, _older(value, translate, report))
        elif isinstance(value, Seq):
            items = tuple(_older(o, translate, report) for o in value.objects())
            changed = changed.put(name, Seq(value.place, items, value.places))
    return root if changed is config else root.put("ignition", ignition.put("config", changed))


def _older(resource: Obj, translate: Callable[[bytes], Older], report: Report) -> Obj:
    text = content(resource)
    if text is None or not any(version in text for version in _NEWER) or not _is_newer(text):
        return resource
    made = translate(text.encode())
    if made.ignition is None:
        report.error(
            resource.place, f"the config inside cannot be used: {made.why}", "`orlop config check` shows all of it"
        )
        return resource
    # its hash is that of the newer one, which has been read whole here
    return with_data(resource.without("verification", "compression"), made.ignition.encode(), resource.place)


def _is_newer(text: str) -> bool:
    try:
        version = json.loads(text)["ignition"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return f'"{version}"' in _NEWER
