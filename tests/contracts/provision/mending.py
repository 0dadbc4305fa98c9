"""Generated objects made to agree with themselves: keys that need each other, or exclude each other.

Values drawn key by key are nearly never right together where keys depend on each other, and a config that is
refused proves nothing about Ignition. Each function takes what was drawn for one kind of object and returns what could
be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Found = dict[str, Any]

QUADLET = "[Container]\nImage=x\n[Pod]\nA=b\n[Volume]\nA=b\n[Network]\nA=b\n[Install]\nWantedBy=x.target\n"
STRIPED = ("linear", "raid0")


def without(found: Found, *names: str) -> Found:
    return {name: value for name, value in found.items() if name not in names}


def resource(found: Found) -> Found:
    """Headers and a hash need contents that are elsewhere: those of a text that was drawn are not known here."""
    source = str(found.get("source", ""))
    if not found.get("http_headers") and not found.get("verification"):
        return found if source else without(found, "compression")
    there = source if source.lower().startswith("http") else "https://example.com/x"
    return {**without(found, "inline", "local"), "source": there}


def partition(found: Found) -> Found:
    if found.get("should_exist") is False:
        return {"number": found.get("number") or 1, "should_exist": False}
    return found if found.get("number") or "label" in found else {**found, "label": "data"}


def disk(found: Found) -> Found:
    """Each partition a number, a label and a place of its own, where it has one at all."""
    made = []
    for index, old in enumerate(found.get("partitions", ())):
        new = {**old, "number": index + 1}
        if "label" in new:
            new["label"] = f"{str(new['label'])[:30]}{index}".replace(":", "")
        if new.get("start_mib"):
            new["start_mib"], new["size_mib"] = 1 + index * 10_000, min(int(new.get("size_mib", 0)), 9_000)
        made.append(new)
    return {**found, "partitions": made} if made else found


def raid(found: Found) -> Found:
    found = {**found, "devices": found.get("devices") or ["/dev/vda"]}
    return without(found, "spares") if found.get("level") in STRIPED else found


def clevis(found: Found) -> Found:
    if "custom" not in found or found.get("tang") or found.get("tpm2"):
        return without(found, "custom")
    return {"custom": {"pin": "tang", **found["custom"], "config": "{}"}}


def filesystem(found: Found) -> Found:
    return found if found.get("path") or found.get("format") == "swap" else without(found, "with_mount_unit")


def storage(found: Found) -> Found:
    """No path twice, in files, folders and links."""
    seen: set[str] = set()
    made = dict(found)
    for name in ("files", "directories", "links"):
        if name in made:
            made[name] = [node for node in made[name] if not (node["path"] in seen or seen.add(node["path"]))]  # type: ignore[func-returns-value]
    return made


def kernel_arguments(found: Found) -> Found:
    unwanted = [a for a in found.get("should_not_exist", ()) if a not in found.get("should_exist", ())]
    return {**without(found, "should_not_exist"), "should_not_exist": unwanted}


def quadlet(found: Found) -> Found:
    return {**without(found, "contents_local"), "contents": QUADLET}


def config(found: Found) -> Found:
    """The whole of it: what its variant does not have."""
    if found["variant"] != "fcos" and (volumes := found.get("storage", {}).get("luks")):
        plain = [without(volume, "clevis") for volume in volumes]
        return {**found, "storage": {**found["storage"], "luks": plain}}
    return found


BY_KIND: dict[str, Callable[[Found], Found]] = {
    "resource": resource,
    "partition": partition,
    "disk": disk,
    "raid": raid,
    "clevis": clevis,
    "filesystem": filesystem,
    "storage": storage,
    "kernel_arguments": kernel_arguments,
    "quadlet": quadlet,
}
