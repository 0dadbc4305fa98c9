"""What makes a configuration that was written for a first boot right at every boot. Pure.

Ignition expects to run once in a machine's life; here it runs at each boot, onto a root that is new and disks that are
not. Applied as it is, a configuration would wipe a data disk at every boot, and fail at the second one because its file
in /var is there. So between Ignition's reading of the configuration and its doing, these rules are laid over it:

    a wipe that was asked for        is done once, and not at all on a file system that already is as wished
    a partition without a number     is the one that bears its label, once it exists
    an array                         is made once, then assembled
    an encrypted volume with no key  gets one of this machine's own, which is kept in /var
    a file that persists             is written anew when the configuration gives its content; with `overwrite: false`
                                     it is made only when it is missing; what is appended is appended once
    a folder that persists           is never emptied; its mode and owner are set
    what stands in the way           (a folder where a file should be) is moved aside, never deleted
    what is made once                is told beforehand (`begins`, `first`), so that a boot after a cut can make it anew

"Persists" is what lies under /var or under a mount point of a file system in the configuration. Configurations are
Ignition's rendering, as in `remote`. Nothing is changed in place. docs/guide/persistence.md tells this to users.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.remote import Config

PERSISTENT = "/var"


@dataclass(frozen=True)
class Partition:
    number: int
    label: str


@dataclass(frozen=True)
class FileSystem:
    """What blkid finds on a device."""

    format: str
    label: str = ""
    uuid: str = ""


@dataclass(frozen=True)
class Disks:
    """What is there before the disks stage, each by the device's name in the configuration.

    `done`: what was already done once, by `deed`; `begun`: what a boot began that lost its power before it was done;
    `keys`: this machine's own keys as data URLs, by volume.
    """

    done: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()
    partitions: Mapping[str, Sequence[Partition]] = field(default_factory=dict)
    filesystems: Mapping[str, FileSystem] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Paths:
    """What stands at the paths of the configuration before the files stage: "file", "dir", "link" or "other"."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    done: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Applied:
    """What Ignition is given. `deeds`: to be remembered once the stage succeeded; `begins`: file systems that it makes,
    and `first`: paths that it makes or adds to as it never will again, both to be remembered before; `aside`: paths to
    be moved away first; `assemble`: arrays to be assembled, as (device name, devices); `notes`: what differs and why,
    for the log.
    """

    config: Config
    deeds: frozenset[str] = frozenset()
    begins: frozenset[str] = frozenset()
    first: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    assemble: tuple[tuple[str, tuple[str, ...]], ...] = ()
    notes: tuple[str, ...] = ()


def deed(kind: str, entry: Mapping[str, Any]) -> str:
    """The name of something that is done once: it is another deed when the configuration says something else."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def keyless(config: Config) -> list[str]:
    """The names of the encrypted volumes that need a key of this machine's own."""
    volumes = (config.get("storage") or {}).get("luks") or ()
    return [v["name"] for v in volumes if not (v.get("keyFile") or {}).get("source")]


def has_disks(config: Config) -> bool:
    """Whether the stages disks, mount and umount have something to do."""
    storage = config.get("storage") or {}
    return any(storage.get(kind) for kind in ("disks", "raid", "luks", "filesystems"))


def for_disks(config: Config, there: Disks) -> Applied:
    """The configuration for the stages kargs, disks and mount. Raises StageFailed for what the image cannot do."""
    result = copy.deepcopy(config)
    storage = result.get("storage") or {}
    work = _Work(there.done)
    for disk in storage.get("disks") or ():
        _disk(disk, there, work)
    arrays = storage.get("raid") or []
    if arrays:
        storage["raid"] = [array for array in arrays if not _array(array, work)]
    for volume in storage.get("luks") or ():
        _volume(volume, there, work)
    for filesystem in storage.get("filesystems") or ():
        _filesystem(filesystem, there, work)
    return work.applied(result)


def for_files(config: Config, there: Paths) -> Applied:
    """The configuration for the files stage."""
    result = copy.deepcopy(config)
    storage = result.get("storage") or {}
    roots = persistent_roots(config)
    work = _Work(there.done)
    work.first += [home for home in homes(config) if home not in there.kinds]
    for kind, rule in (("directories", _folder), ("files", _file), ("links", _link)):
        entries = storage.get(kind) or []
        storage[kind] = [
            entry
            for entry in entries
            if not is_below(entry["path"], roots) or rule(entry, there.kinds.get(entry["path"], ""), work)
        ]
    return work.applied(result)


def persistent_roots(config: Config) -> tuple[str, ...]:
    """The folders whose content outlives a boot: /var and the mount points of the configuration's file systems."""
    filesystems = (config.get("storage") or {}).get("filesystems") or ()
    return (PERSISTENT, *sorted(f["path"] for f in filesystems if f.get("path")))


def homes(config: Config) -> list[str]:
    """The homes that persist, of the users that the configuration makes."""
    users = (config.get("passwd") or {}).get("users") or ()
    roots = persistent_roots(config)
    found = [u.get("homeDir") or f"/home/{u['name']}" for u in users if not u.get("noCreateHome")]
    return [home for home in found if is_below(home, roots)]


def is_below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def owned_paths(config: Config) -> dict[str, str]:
    """Every path that the configuration names, and where: `storage.files.3`."""
    storage = config.get("storage") or {}
    return {
        entry["path"]: f"storage.{kind}.{number}"
        for kind in ("directories", "files", "links")
        for number, entry in enumerate(storage.get(kind) or ())
    }


def watched_paths(config: Config) -> dict[str, str]:
    """Of `owned_paths`, those whose content stays the configuration's after the boot: not what was only a beginning."""
    roots = persistent_roots(config)
    begun = {
        file["path"]
        for file in (config.get("storage") or {}).get("files") or ()
        if is_below(file["path"], roots)
        and (file.get("overwrite") is False or (file.get("contents") or {}).get("source") is None)
    }
    return {path: setting for path, setting in owned_paths(config).items() if path not in begun}


@dataclass
class _Work:
    """What the rules find out on their way through one configuration."""

    done: frozenset[str]
    deeds: set[str] = field(default_factory=set)
    begins: set[str] = field(default_factory=set)
    first: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    assemble: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def first_time(self, kind: str, entry: Mapping[str, Any]) -> bool:
        name = deed(kind, entry)
        self.deeds.add(name)
        return name not in self.done

    def applied(self, config: Config) -> Applied:
        return Applied(
            config,
            frozenset(self.deeds),
            frozenset(self.begins),
            tuple(self.first),
            tuple(self.aside),
            tuple(self.assemble),
            tuple(dict.fromkeys(self.notes)),
        )


def _disk(disk: dict[str, Any], there: Disks, work: _Work) -> None:
    device = disk["device"]
    first = work.first_time("disk", disk)
    found = there.partitions.get(device, ())
    if disk.get("wipeTable"):
        wished = {p.get("label") for p in disk.get("partitions") or () if p.get("shouldExist") is not False}
        is_there = bool(wished) and None not in wished and wished <= {p.label for p in found}
        if not first or is_there:
            disk["wipeTable"] = False
            work.notes.append(f"the partition table of {device} stays: {_why(first=first)}")
    numbers = {p.label: p.number for p in found if p.label}
    kept = []
    for partition in disk.get("partitions") or ():
        if not partition.get("number"):
            if (label := partition.get("label")) in numbers:
                partition["number"] = numbers[label]
            elif not label and not first:
                continue  # made at its first boot, and nothing tells it from others since
        kept.append(partition)
    if "partitions" in disk:
        disk["partitions"] = kept


def _array(array: dict[str, Any], work: _Work) -> bool:
    """Whether the array was made before, so that it is assembled and not created."""
    if work.first_time("raid", array):
        return False
    work.assemble.append((array["name"], tuple(array.get("devices") or ())))
    work.notes.append(f"the array {array['name']} is assembled: it was made at an earlier boot")
    return True


def _volume(volume: dict[str, Any], there: Disks, work: _Work) -> None:
    name = volume["name"]
    clevis = volume.get("clevis") or {}
    if clevis.get("tpm2") or clevis.get("tang") or (clevis.get("custom") or {}).get("pin"):
        raise StageFailed(Failure("disks", f"the volume {name} asks for clevis, which this image does not have", True))
    if not (volume.get("keyFile") or {}).get("source"):
        volume["keyFile"] = {"source": there.keys[name]}
    entry = {key: value for key, value in volume.items() if key != "keyFile"}
    if volume.get("wipeVolume") and not work.first_time("luks", entry):
        volume["wipeVolume"] = False
        work.notes.append(f"the volume {name} stays: {_why(first=False)}")


def _filesystem(filesystem: dict[str, Any], there: Disks, work: _Work) -> None:
    if not filesystem.get("wipeFilesystem"):
        return
    device = filesystem["device"]
    first, name = work.first_time("filesystem", filesystem), deed("filesystem", filesystem)
    if first and name in there.begun:
        work.begins.add(name)  # its name may be on the disk, and the rest not
        work.notes.append(f"the file system on {device} is made anew: a boot ended while it was made")
    elif first and not _is_as_wished(filesystem, there.filesystems.get(device)):
        work.begins.add(name)
    else:
        filesystem["wipeFilesystem"] = False
        work.notes.append(f"the file system on {device} stays: {_why(first=first)}")


def _is_as_wished(wished: Mapping[str, Any], found: FileSystem | None) -> bool:
    """A label or a UUID makes a file system known again; its format alone does not."""
    if found is None or wished.get("format") != found.format or not (wished.get("label") or wished.get("uuid")):
        return False
    same_uuid = (wished.get("uuid") or found.uuid).lower() == found.uuid.lower()
    return same_uuid and (wished.get("label") or found.label) == found.label


def _why(*, first: bool) -> str:
    return "it is as the configuration wishes" if first else "it was wiped at an earlier boot, once"


def _file(file: dict[str, Any], kind: str, work: _Work) -> bool:
    """Rules for a file that persists; False when there is nothing to do about it."""
    path = file["path"]
    has_content = (file.get("contents") or {}).get("source") is not None
    if kind in ("dir", "other"):
        work.aside.append(path)
        work.notes.append(f"{path} was a folder where the configuration wants a file: it was moved aside")
        kind = ""
    if has_content:
        if file.get("overwrite") is False:
            if kind:
                return False
            work.first.append(path)
        file["overwrite"] = True
        return True
    if file.get("append"):
        if not work.first_time("append", file) and kind:
            file["append"] = []
        else:
            work.first.append(path)
    return True


def _folder(folder: dict[str, Any], kind: str, work: _Work) -> bool:
    path = folder["path"]
    if kind and kind != "dir":
        work.aside.append(path)
        work.notes.append(f"{path} was a {kind} where the configuration wants a folder: it was moved aside")
    folder["overwrite"] = False
    return True


def _link(link: dict[str, Any], kind: str, work: _Work) -> bool:
    path = link["path"]
    if kind and kind != "link" and not (kind == "file" and link.get("hard")):
        work.aside.append(path)
        work.notes.append(f"{path} was a {kind} where the configuration wants a link: it was moved aside")
    elif link.get("overwrite") is False and kind:
        return False
    if link.get("overwrite") is False:
        work.first.append(path)
    link["overwrite"] = True
    return True
