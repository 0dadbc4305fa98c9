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

"Persists" is what lies under /var or under a mount point of a file system in the configuration. Nothing is changed in
place. docs/guide/persistence.md tells this to users.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orlop.model.disk import names
from orlop.model.selinux import policy
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.rendering import (
    ArrayView,
    DiskView,
    FileSystemView,
    FileView,
    FolderView,
    LinkView,
    NodeView,
    Rendering,
    ResourceView,
    StorageSection,
    VolumeView,
)

PERSISTENT = "/var"
# the names that an array and a volume have as devices
ARRAY = ("/dev/md/", "/dev/disk/by-id/md-name-")
VOLUME = ("/dev/mapper/", "/dev/disk/by-id/dm-name-")
N = TypeVar("N", bound=NodeView)


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
class PathsThere:
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

    config: Rendering
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


def keyless(config: Rendering) -> list[str]:
    """The names of the encrypted volumes that need a key of this machine's own."""
    return [volume.name for volume in config.storage.volumes if not volume.key_file.source]


def has_disks(config: Rendering) -> bool:
    """Whether the stages disks, mount and umount have something to do."""
    storage = config.storage
    return bool(storage.disks or storage.arrays or storage.volumes or storage.filesystems)


def for_disks(config: Rendering, there: Disks) -> Applied:
    """The configuration for the stages kargs, disks and mount. Raises StageFailed for what the image cannot do, and for
    what is the system's own by its name.
    """
    result = config.copy()
    storage = result.storage
    _refuse(storage)
    work = _Work(there.done)
    for disk in storage.disks:
        _disk(disk, there, work)
    if storage.arrays:
        storage.arrays = [array for array in storage.arrays if not _array(array, work)]
    for volume in storage.volumes:
        _volume(volume, there, work)
    for filesystem in storage.filesystems:
        _filesystem(filesystem, there, work)
    return work.applied(result)


def refuse_loops(storage: StorageSection) -> None:
    """Raise StageFailed for an array or a volume that is made of itself: whoever follows it would never end."""
    made_of: dict[str, Sequence[str]] = {prefix + a.name: a.devices for a in storage.arrays for prefix in ARRAY}
    made_of |= {prefix + v.name: (v.device,) for v in storage.volumes for prefix in VOLUME}

    def follow(device: str, above: tuple[str, ...]) -> None:
        if device in above:
            raise StageFailed(Failure("disks", f"{device} is made of itself", True))
        for below in made_of.get(device, ()):
            follow(below, (*above, device))

    for device in made_of:
        follow(device, ())


def _refuse(storage: StorageSection) -> None:
    """Raise StageFailed for what cannot be made, and for what the names show to be the system's own."""
    for kind, entries in storage.nodes:
        for number, entry in enumerate(entries):
            if policy.is_policy(entry.path):
                reason = f"storage.{kind}.{number}: nothing can be put at {entry.path}: {policy.FOLDER} {policy.WHY}"
                raise StageFailed(Failure("files", reason, True))
    refuse_loops(storage)
    for setting, device in names.named(storage.raw):
        if names.is_system(device):
            raise StageFailed(Failure("disks", f"{setting}: {device}: {names.WHY}", True))
    for number, filesystem in enumerate(storage.filesystems):
        if filesystem.path and (why := names.why_not_at(filesystem.path)):
            reason = f"storage.filesystems.{number}: nothing can be mounted at {filesystem.path}: it {why}"
            raise StageFailed(Failure("disks", reason, True))


def for_files(config: Rendering, there: PathsThere) -> Applied:
    """The configuration for the files stage."""
    result = config.copy()
    storage, roots = result.storage, persistent_roots(config)
    work = _Work(there.done)
    work.first += [home for home in homes(config) if home not in there.kinds]

    def is_made(entry: N, rule: Callable[[N, str, _Work], bool]) -> bool:
        return not is_below(entry.path, roots) or rule(entry, there.kinds.get(entry.path, ""), work)

    storage.folders = [folder for folder in storage.folders if is_made(folder, _folder)]
    storage.files = [file for file in storage.files if is_made(file, _file)]
    storage.links = [link for link in storage.links if is_made(link, _link)]
    return work.applied(result)


def all_deeds(config: Rendering) -> frozenset[str]:
    """Whatever the configuration does only once. Raises StageFailed for what the image cannot do."""
    keys = dict.fromkeys(keyless(config), "data:,")
    return for_disks(config, Disks(keys=keys)).deeds | for_files(config, PathsThere()).deeds


def persistent_roots(config: Rendering) -> tuple[str, ...]:
    """The folders whose content outlives a boot: /var and the mount points of the configuration's file systems."""
    return (PERSISTENT, *sorted(f.path for f in config.storage.filesystems if f.path))


def homes(config: Rendering) -> list[str]:
    """The homes that persist, of the users that the configuration makes."""
    roots = persistent_roots(config)
    return [u.home for u in config.passwd.users if not u.no_create_home and is_below(u.home, roots)]


def is_below(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def owned_paths(config: Rendering) -> dict[str, str]:
    """Every path that the configuration names, and where: `storage.files.3`."""
    return {
        node.path: f"storage.{kind}.{number}"
        for kind, nodes in config.storage.nodes
        for number, node in enumerate(nodes)
    }


def watched_paths(config: Rendering) -> dict[str, str]:
    """Of `owned_paths`, those whose content stays the configuration's after the boot: not what was only a beginning."""
    roots = persistent_roots(config)
    begun = {
        file.path
        for file in config.storage.files
        if is_below(file.path, roots) and (file.overwrite is False or not file.has_content)
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

    def applied(self, config: Rendering) -> Applied:
        return Applied(
            config,
            frozenset(self.deeds),
            frozenset(self.begins),
            tuple(self.first),
            tuple(self.aside),
            tuple(self.assemble),
            tuple(dict.fromkeys(self.notes)),
        )


def _disk(disk: DiskView, there: Disks, work: _Work) -> None:
    first = work.first_time("disk", disk.raw)
    partitions = there.partitions.get(disk.device, ())
    if disk.wipe_table:
        wished = {p.label for p in disk.partitions if p.should_exist}
        is_there = bool(wished) and None not in wished and wished <= {p.label for p in partitions}
        if not first or is_there:
            disk.wipe_table = False
            work.notes.append(f"the partition table of {disk.device} stays: {_why(first=first)}")
    numbers = {p.label: p.number for p in partitions if p.label}
    made = []
    for partition in disk.partitions:
        if not partition.number:
            if partition.label in numbers:
                partition.number = numbers[partition.label]
            elif not partition.label and not first:
                continue  # made at its first boot, and nothing tells it from others since
        made.append(partition)
    if disk.partitions:
        disk.partitions = made


def _array(array: ArrayView, work: _Work) -> bool:
    """Whether the array was made before, so that it is assembled and not created."""
    if work.first_time("raid", array.raw):
        return False
    work.assemble.append((array.name, tuple(array.devices)))
    work.notes.append(f"the array {array.name} is assembled: it was made at an earlier boot")
    return True


def _volume(volume: VolumeView, there: Disks, work: _Work) -> None:
    name = volume.name
    if volume.asks_for_clevis:
        raise StageFailed(Failure("disks", f"the volume {name} asks for clevis, which this image does not have", True))
    if not volume.key_file.source:
        volume.key_file = ResourceView({"source": there.keys[name]})
    # without its key: one that the machine has, or another one, makes it no other volume
    entry = {key: value for key, value in volume.raw.items() if key != "keyFile"}
    if volume.wipe_volume and not work.first_time("luks", entry):
        volume.wipe_volume = False
        work.notes.append(f"the volume {name} stays: {_why(first=False)}")


def _filesystem(filesystem: FileSystemView, there: Disks, work: _Work) -> None:
    if not filesystem.wipe_filesystem:
        return
    device = filesystem.device
    first, name = work.first_time("filesystem", filesystem.raw), deed("filesystem", filesystem.raw)
    if first and name in there.begun:
        work.begins.add(name)  # its name may be on the disk, and the rest not
        work.notes.append(f"the file system on {device} is made anew: a boot ended while it was made")
    elif first and not _is_as_wished(filesystem, there.filesystems.get(device)):
        work.begins.add(name)
    else:
        filesystem.wipe_filesystem = False
        work.notes.append(f"the file system on {device} stays: {_why(first=first)}")


def _is_as_wished(wished: FileSystemView, there: FileSystem | None) -> bool:
    """A label or a UUID makes a file system known again; its format alone does not."""
    if there is None or wished.format != there.format or not (wished.label or wished.uuid):
        return False
    same_uuid = (wished.uuid or there.uuid).lower() == there.uuid.lower()
    return same_uuid and (wished.label or there.label) == there.label


def _why(*, first: bool) -> str:
    return "it is as the configuration wishes" if first else "it was wiped at an earlier boot, once"


def _file(file: FileView, kind: str, work: _Work) -> bool:
    """Rules for a file that persists; False when there is nothing to do about it."""
    if kind in ("dir", "other"):
        work.aside.append(file.path)
        work.notes.append(f"{file.path} was a folder where the configuration wants a file: it was moved aside")
        kind = ""
    if file.has_content:
        if file.overwrite is False:
            if kind:
                return False
            work.first.append(file.path)
        file.overwrite = True
        return True
    if file.append:
        if not work.first_time("append", file.raw) and kind:
            file.append = []
        else:
            work.first.append(file.path)
    return True


def _folder(folder: FolderView, kind: str, work: _Work) -> bool:
    if kind and kind != "dir":
        work.aside.append(folder.path)
        work.notes.append(f"{folder.path} was a {kind} where the configuration wants a folder: it was moved aside")
    folder.overwrite = False
    return True


def _link(link: LinkView, kind: str, work: _Work) -> bool:
    if kind and kind != "link" and not (kind == "file" and link.hard):
        work.aside.append(link.path)
        work.notes.append(f"{link.path} was a {kind} where the configuration wants a link: it was moved aside")
    elif link.overwrite is False and kind:
        return False
    if link.overwrite is False:
        work.first.append(link.path)
    link.overwrite = True
    return True
