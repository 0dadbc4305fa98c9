"""What is kept from the run of a config, and told instead: disks, and contents that are elsewhere.

Before a config is fetched, configs and certificates that are elsewhere are taken out of it. It is a dict then, as its
writer's JSON says, and what is not shaped as Ignition's specification has it stays as it is: Ignition itself says what
is wrong with it. When all is merged and right, disks are taken out, and files that are elsewhere become empty ones.
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

from orlop.model.disk import names
from orlop.node.config import eachboot
from orlop.node.config.rendering import FileView, PartitionView, Rendering, ResourceView, StorageSection

DEPTH = 8  # of configs within configs
UNPACKED = 64 << 20  # bytes a config within a config may have


@dataclass(frozen=True)
class ForeseenFetch:
    """`what`: the path it is for, or what kind of thing it is; `verification`: the hash it must have, or ""."""

    url: str
    what: str
    verification: str = ""


@dataclass(frozen=True)
class SimulationPlan:
    """`config` is what is run. `disks`: one line for each thing that would be made, in Ignition's order; `devices`:
    what would be written to for that.
    """

    config: Rendering
    fetches: tuple[ForeseenFetch, ...] = ()
    disks: tuple[str, ...] = ()
    kernel_add: tuple[str, ...] = ()
    kernel_remove: tuple[str, ...] = ()
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)  # path → URLs of its contents
    devices: tuple[str, ...] = ()


def elsewhere(url: object) -> bool:
    return isinstance(url, str) and bool(url) and not url.lower().startswith("data:")


def alone(config: dict[str, Any], depth: int = DEPTH) -> tuple[dict[str, Any], list[ForeseenFetch]]:
    """The config without what would have to be fetched in order to read all of it, and what that is."""
    fetches: list[ForeseenFetch] = []
    ignition = dict(_dict(config, "ignition"))
    other = dict(_dict(ignition, "config"))
    if elsewhere(_dict(other, "replace").get("source")):
        fetches.append(_fetch(other.pop("replace"), "a config used instead of this one"))
    elif _dict(other, "replace"):
        other["replace"] = _inner(other["replace"], fetches, depth)
    if isinstance(other.get("merge"), list):
        away = [r for r in _list(other, "merge") if elsewhere(r.get("source"))]
        fetches += [_fetch(r, "a config merged into this one") for r in away]
        other["merge"] = [
            _inner(r, fetches, depth) if isinstance(r, dict) else r for r in other["merge"] if r not in away
        ]
    security = dict(_dict(ignition, "security"))
    tls = dict(_dict(security, "tls"))
    if isinstance(tls.get("certificateAuthorities"), list):
        away = [r for r in _list(tls, "certificateAuthorities") if elsewhere(r.get("source"))]
        fetches += [_fetch(r, "a certificate authority") for r in away]
        tls["certificateAuthorities"] = [r for r in tls["certificateAuthorities"] if r not in away]
    for holder, name, value in ((security, "tls", tls), (ignition, "security", security), (ignition, "config", other)):
        if isinstance(holder.get(name), dict):
            holder[name] = value
    return ({**config, "ignition": ignition} if isinstance(config.get("ignition"), dict) else config), fetches


def _inner(resource: dict[str, Any], fetches: list[ForeseenFetch], depth: int) -> dict[str, Any]:
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
    fetches += more
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


def plan(merged: Rendering, before: list[ForeseenFetch], *, fetch: bool) -> SimulationPlan:
    """What to run of a config that is merged and right. `before`: what `alone` took out; `fetch`: leave URLs in it."""
    fetches, sources = list(before), {}
    result = merged.copy()
    storage = result.storage
    for file in storage.files:
        away = [_away(resource, file.path) for resource in file.resources if resource.is_remote]
        if away and not fetch:
            fetches += away
            sources[file.path] = tuple(one.url for one in away)
            _empty(file)
    disks = tuple(_disks(storage))
    fetches += [
        _away(volume.key_file, f"key of the volume {volume.name}")
        for volume in storage.volumes
        if volume.key_file.is_remote
    ]
    devices = tuple(dict.fromkeys(device for _, device in names.named(storage.raw)))
    for name in ("disks", "raid", "filesystems", "luks"):
        storage.raw.pop(name, None)
    arguments = merged.kernel_arguments
    result.raw["kernelArguments"] = {}
    return SimulationPlan(
        # files below /var are treated as at a machine's first boot
        eachboot.for_files(result, eachboot.PathsThere()).config,
        tuple(fetches),
        disks,
        tuple(arguments.should_exist),
        tuple(arguments.should_not_exist),
        sources,
        devices,
    )


def _away(resource: ResourceView, what: str) -> ForeseenFetch:
    return ForeseenFetch(resource.url, what, resource.verification.hash)


def _empty(file: FileView) -> None:
    file.append = [resource for resource in file.append if not resource.is_remote]
    if file.contents.is_remote:
        file.contents = ResourceView({"source": "data:,", "compression": "", "verification": {}})


def _fetch(resource: dict[str, Any], what: str) -> ForeseenFetch:
    return ForeseenFetch(str(resource.get("source")), what, str(_dict(resource, "verification").get("hash") or ""))


def _disks(storage: StorageSection) -> Iterator[str]:
    for disk in storage.disks:
        what = ["a new partition table"] if disk.wipe_table else []
        what += [_partition(partition) for partition in disk.partitions]
        yield f"{disk.device}: {'; '.join(what) or 'as it is'}"
    for array in storage.arrays:
        yield f"/dev/md/{array.name}: {array.level} of {' '.join(array.devices)}"
    for volume in storage.volumes:
        yield f"/dev/mapper/{volume.name}: LUKS on {volume.device}" + _anew(wipe=volume.wipe_volume)
    for fs in storage.filesystems:
        label = f' labelled "{fs.label}"' if fs.label else ""
        at = f", mounted at {fs.path}" if fs.path else ""
        yield f"{fs.device}: {fs.format or 'file system'}{label}{at}" + _anew(wipe=fs.wipe_filesystem)


def _anew(*, wipe: bool) -> str:
    return ", made anew whatever is there" if wipe else ", made unless it is there"


def _partition(partition: PartitionView) -> str:
    name = f"partition {partition.number}" if partition.number else "a partition"
    if not partition.should_exist:
        return f"{name} removed"
    label = f' "{partition.label}"' if partition.label else ""
    size = f", {partition.size_mib} MiB" if partition.size_mib else ""
    return f"{name}{label}{size}"


def _dict(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _list(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = parent.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
