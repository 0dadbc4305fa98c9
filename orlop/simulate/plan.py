"""What is kept from the run of a config, and told instead: disks, and contents that are elsewhere.

A config is a dict here, as Ignition's JSON says. Before it is fetched, configs and certificates that are elsewhere are
taken out; when all is merged, disks are, and files that are elsewhere become empty ones. What is not shaped as
Ignition's specification has it stays as it is: Ignition itself says what is wrong with it.
"""

from __future__ import annotations

import base64
import binascii
import json
import urllib.parse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orlop.node.config import eachboot

DEPTH = 8  # of configs within configs
UNPACKED = 64 << 20  # bytes a config within a config may have


@dataclass(frozen=True)
class Fetch:
    """`what`: the path it is for, or what kind of thing it is; `verification`: the hash it must have, or ""."""

    url: str
    what: str
    verification: str = ""


@dataclass(frozen=True)
class Plan:
    """`config` is what is run. `disks`: one line for each thing that would be made, in Ignition's order."""

    config: dict[str, Any]
    fetches: tuple[Fetch, ...] = ()
    disks: tuple[str, ...] = ()
    kernel_add: tuple[str, ...] = ()
    kernel_remove: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)  # path → URLs of its contents


def elsewhere(url: object) -> bool:
    return isinstance(url, str) and bool(url) and not url.lower().startswith("data:")


def alone(config: dict[str, Any], depth: int = DEPTH) -> tuple[dict[str, Any], list[Fetch]]:
    """The config without what would have to be fetched in order to read all of it, and what that is."""
    found: list[Fetch] = []
    ignition = dict(_dict(config, "ignition"))
    other = dict(_dict(ignition, "config"))
    if elsewhere(_dict(other, "replace").get("source")):
        found.append(_fetch(other.pop("replace"), "a config used instead of this one"))
    elif _dict(other, "replace"):
        other["replace"] = _inner(other["replace"], found, depth)
    if isinstance(other.get("merge"), list):
        away = [r for r in _list(other, "merge") if elsewhere(r.get("source"))]
        found += [_fetch(r, "a config merged into this one") for r in away]
        other["merge"] = [
            _inner(r, found, depth) if isinstance(r, dict) else r for r in other["merge"] if r not in away
        ]
    security = dict(_dict(ignition, "security"))
    tls = dict(_dict(security, "tls"))
    if isinstance(tls.get("certificateAuthorities"), list):
        away = [r for r in _list(tls, "certificateAuthorities") if elsewhere(r.get("source"))]
        found += [_fetch(r, "a certificate authority") for r in away]
        tls["certificateAuthorities"] = [r for r in tls["certificateAuthorities"] if r not in away]
    for holder, name, value in ((security, "tls", tls), (ignition, "security", security), (ignition, "config", other)):
        if isinstance(holder.get(name), dict):
            holder[name] = value
    return ({**config, "ignition": ignition} if isinstance(config.get("ignition"), dict) else config), found


def _inner(resource: dict[str, Any], found: list[Fetch], depth: int) -> dict[str, Any]:
    """A config given as a data URL, made to stand alone too; its hash would no longer fit, if that changes it."""
    data = contents(resource)
    try:
        config = json.loads(data) if data is not None and depth else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        return resource
    plain, more = alone(config, depth - 1)
    if not more:
        return resource
    found += more
    return {"source": "data:;base64," + base64.b64encode(json.dumps(plain).encode()).decode(), "compression": ""}


def contents(resource: dict[str, Any]) -> bytes | None:
    """What a data URL holds, unpacked; None if it is none, or not right. Source: RFC 2397."""
    head, comma, data = str(resource.get("source", "")).partition(",")
    if not comma or not head.lower().startswith("data:"):
        return None
    try:
        raw = urllib.parse.unquote_to_bytes(data)
        if head.endswith(";base64"):
            raw = base64.b64decode(raw, validate=True)
        if resource.get("compression") == "gzip":
            raw = zlib.decompressobj(31).decompress(raw, UNPACKED)
    except (ValueError, binascii.Error, zlib.error):
        return None
    return raw


def plan(merged: dict[str, Any], before: list[Fetch], *, fetch: bool) -> Plan:
    """What to run of a config that is merged and right. `before`: what `alone` took out; `fetch`: leave URLs in it."""
    storage = dict(_dict(merged, "storage"))
    fetches, sources = list(before), {}
    files = []
    for file in _list(storage, "files"):
        mine = list(_away(file))
        if mine and not fetch:
            fetches += mine
            sources[str(file.get("path"))] = tuple(f.url for f in mine)
            file = _emptied(file)  # noqa: PLW2901
        files.append(file)
    if files:
        storage["files"] = files
    disks = tuple(_disks(storage))
    for luks in _list(storage, "luks"):
        if elsewhere(_dict(luks, "keyFile").get("source")):
            fetches.append(_fetch(luks["keyFile"], f"key of the volume {luks.get('name')}"))
    for name in ("disks", "raid", "filesystems", "luks"):
        storage.pop(name, None)
    arguments = _dict(merged, "kernelArguments")
    # files below /var are treated as at a machine's first boot
    run = eachboot.for_files({**merged, "storage": storage, "kernelArguments": {}}, eachboot.Paths()).config
    return Plan(
        run,
        tuple(fetches),
        disks,
        tuple(map(str, arguments.get("shouldExist") or ())),
        tuple(map(str, arguments.get("shouldNotExist") or ())),
        sources,
    )


def _away(file: dict[str, Any]) -> Iterator[Fetch]:
    for resource in [_dict(file, "contents"), *_list(file, "append")]:
        if elsewhere(resource.get("source")):
            yield _fetch(resource, str(file.get("path")))


def _emptied(file: dict[str, Any]) -> dict[str, Any]:
    file = {**file, "append": [r for r in _list(file, "append") if not elsewhere(r.get("source"))]}
    if elsewhere(_dict(file, "contents").get("source")):
        file["contents"] = {"source": "data:,", "compression": "", "verification": {}}
    return file


def _fetch(resource: dict[str, Any], what: str) -> Fetch:
    return Fetch(str(resource.get("source")), what, str(_dict(resource, "verification").get("hash") or ""))


def _disks(storage: dict[str, Any]) -> Iterator[str]:
    for disk in _list(storage, "disks"):
        what = ["a new partition table"] if disk.get("wipeTable") else []
        what += [_partition(p) for p in _list(disk, "partitions")]
        yield f"{disk.get('device')}: {'; '.join(what) or 'as it is'}"
    for raid in _list(storage, "raid"):
        devices = " ".join(map(str, raid.get("devices") or ()))
        yield f"/dev/md/{raid.get('name')}: {raid.get('level')} of {devices}"
    for luks in _list(storage, "luks"):
        yield f"/dev/mapper/{luks.get('name')}: LUKS on {luks.get('device')}" + _anew(luks.get("wipeVolume"))
    for fs in _list(storage, "filesystems"):
        label = f' labelled "{fs["label"]}"' if fs.get("label") else ""
        at = f", mounted at {fs['path']}" if fs.get("path") else ""
        yield f"{fs.get('device')}: {fs.get('format') or 'file system'}{label}{at}" + _anew(fs.get("wipeFilesystem"))


def _anew(wipe: object) -> str:
    return ", made anew whatever is there" if wipe else ", made unless it is there"


def _partition(partition: dict[str, Any]) -> str:
    name = f"partition {partition['number']}" if partition.get("number") else "a partition"
    if partition.get("shouldExist") is False:
        return f"{name} removed"
    label = f' "{partition["label"]}"' if partition.get("label") else ""
    size = f", {partition['sizeMiB']} MiB" if partition.get("sizeMiB") else ""
    return f"{name}{label}{size}"


def _dict(parent: dict[str, Any], name: str) -> dict[str, Any]:
    found = parent.get(name)
    return found if isinstance(found, dict) else {}


def _list(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = parent.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
