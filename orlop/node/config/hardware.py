"""Which of the devices that a configuration names are not there, and what becomes of it. Pure.

A disk that broke is no fault of a version, nor of a configuration. So before Ignition is asked to do anything on disks:

    a file system with the option nofail   is left out, and with it its unit, what is below its path, what only it needs
    an array that was made, redundant      starts without the members that are missing, as many as its level can spare
    btrfs that was made, redundant         is mounted `degraded`, by a member that is there
    anything else that is missing          is waited for (`needed`), and nothing is done until it is there

What is redundant is made only when all of it is there. "Redundant" of btrfs is what its `options` say: a raid1 of data
and metadata on the devices that they name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from orlop.model.words.unitname import unit_name
from orlop.node.config.eachboot import ARRAY, VOLUME, deed, is_below, refuse_loops
from orlop.node.config.rendering import (
    ArrayView,
    FileSystemView,
    Rendering,
    UnitView,
    VolumeView,
)

NOFAIL = "nofail"
_BY_LABEL = "/dev/disk/by-partlabel/"
# names that a configuration may be about to make, in ways that are not followed here
_SOFT = (
    *("/dev/md", "/dev/mapper/", "/dev/dm-", "/dev/disk/by-id/md-", "/dev/disk/by-id/dm-"),
    *(_BY_LABEL, "/dev/disk/by-label/", "/dev/disk/by-uuid/", "/dev/disk/by-partuuid/"),
)
_PROFILES = ("raid1", "raid1c3", "raid1c4", "raid10")


@dataclass(frozen=True)
class MissingDevices:
    """`config`: without what is left out; `needed`: a sentence for each thing that nothing goes on without; `notes`:
    what is not as it should be; `absent`: devices that are not to be used; `degraded`: file systems, by device, to be
    mounted by another one of their own.
    """

    config: Rendering
    needed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    degraded: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        return not self.needed and not self.notes


def members(filesystem: FileSystemView) -> list[str]:
    """The devices of a file system: its own, and those that are given to the program that makes it."""
    more = [word for word in filesystem.options if word.startswith("/dev/")]
    return [filesystem.device, *(device for device in more if device != filesystem.device)]


def named(config: Rendering) -> list[str]:
    """Every device that the configuration names, once."""
    storage = config.storage
    devices = [disk.device for disk in storage.disks]
    devices += [volume.device for volume in storage.volumes]
    devices += [device for array in storage.arrays for device in array.devices]
    devices += [device for filesystem in storage.filesystems for device in members(filesystem)]
    return list(dict.fromkeys(devices))


def judge(config: Rendering, there: Collection[str], done: Collection[str]) -> MissingDevices:
    """`there`: those of `named` that exist; `done`: the deeds of earlier boots, as `eachboot.deed` names them.

    Raises StageFailed for what is made of itself.
    """
    refuse_loops(config.storage)
    return _Judge(config, there, done).result()


def tolerance(array: ArrayView) -> int:
    """How many of its devices an array can spare."""
    active = len(array.devices) - array.spares
    by_level = {
        **dict.fromkeys(("raid1", "1", "mirror"), active - 1),
        **dict.fromkeys(("raid4", "4", "raid5", "5", "raid10", "10"), 1),
        **dict.fromkeys(("raid6", "6"), 2),
    }
    return by_level[array.level] + array.spares if array.level in by_level else 0


def is_partition(device: str, disk: str) -> bool:
    """Whether the device is a partition of the disk by the disk's own name: /dev/sdb1, /dev/nvme1n1p1, …-part1."""
    return bool(re.fullmatch(r"(-part|p)?[0-9]+", device.removeprefix(disk))) and device != disk


def unit_of(unit: UnitView, filesystem: FileSystemView) -> bool:
    """Whether a unit of the configuration mounts this file system, or swaps to it."""
    lines = unit.contents.splitlines()
    path, device = (word.replace("%", "%%") for word in (filesystem.path, filesystem.device))
    if unit.name.endswith(".swap"):
        return f"What={device}" in lines
    return unit.name.endswith((".mount", ".automount")) and bool(path) and f"Where={path}" in lines


class _Judge:
    """One configuration, looked at from its file systems down to its disks."""

    def __init__(self, config: Rendering, there: Collection[str], done: Collection[str]) -> None:
        self.config, self.there, self.done = config, there, done
        self.disks, self.arrays = config.storage.disks, config.storage.arrays
        self.volumes, self.filesystems = config.storage.volumes, config.storage.filesystems
        # as long as something is still to be made, a name that is not there may be what is made: Ignition knows
        self.is_first = any(
            deed(kind, entry.raw) not in done
            for kind, entries in (("disk", self.disks), ("raid", self.arrays))
            for entry in entries
        )
        self.made_on = {
            _BY_LABEL + p.label: disk.device
            for disk in self.disks
            for p in disk.partitions
            if p.label and p.should_exist
        }

    # what can be had

    def has(self, device: str) -> bool:
        """Whether the device is there, or will be made on what is."""
        if device in self.made_on:
            return self.made_on[device] in self.there
        for array in self.arrays:
            if device in [prefix + array.name for prefix in ARRAY]:
                return self.runs(array)
        for volume in self.volumes:
            if device in [prefix + volume.name for prefix in VOLUME]:
                return self.has(volume.device)
        if any(is_partition(device, disk.device) and disk.device in self.there for disk in self.disks):
            return True
        return device in self.there or (self.is_first and device.startswith(_SOFT))

    def lost(self, devices: Collection[str]) -> list[str]:
        return [device for device in devices if not self.has(device)]

    def runs(self, array: ArrayView) -> bool:
        lost = self.lost(array.devices)
        return not lost or (deed("raid", array.raw) in self.done and len(lost) <= tolerance(array))

    def mounts(self, filesystem: FileSystemView) -> bool:
        devices = members(filesystem)
        lost = self.lost(devices)
        if not lost:
            return True
        profiles = [word for word in filesystem.options if word in _PROFILES]
        was_made = not filesystem.wipe_filesystem or deed("filesystem", filesystem.raw) in self.done
        return filesystem.format == "btrfs" and len(profiles) > 1 and was_made and len(lost) == 1 < len(devices)

    # what becomes of the rest

    def left_out(self, filesystem: FileSystemView) -> bool:
        return not self.mounts(filesystem) and NOFAIL in filesystem.mount_options

    def spared(self, devices: Collection[str]) -> bool:
        """Whether all that uses one of these devices can do without."""
        users = [self.runs(a) or self.spared([p + a.name for p in ARRAY]) for a in self.arrays_on(devices)]
        users += [self.spared([p + v.name for p in VOLUME]) for v in self.volumes_on(devices)]
        users += [self.mounts(f) or self.left_out(f) for f in self.filesystems if {*members(f)} & {*devices}]
        return bool(users) and all(users)

    def arrays_on(self, devices: Collection[str]) -> list[ArrayView]:
        return [array for array in self.arrays if {*array.devices} & {*devices}]

    def volumes_on(self, devices: Collection[str]) -> list[VolumeView]:
        return [volume for volume in self.volumes if volume.device in devices]

    def carried(self, disk: str) -> list[str]:
        """The disk by all the names that others may use for what is on it."""
        others = [device for device in named(self.config) if is_partition(device, disk)]
        return [disk, *(label for label, on in self.made_on.items() if on == disk), *others]

    def result(self) -> MissingDevices:
        lost = [disk.device for disk in self.disks if disk.device not in self.there]
        needed = [f"the disk {disk} is missing{self.why(disk)}" for disk in lost if not self.spared(self.carried(disk))]
        notes = [f"the disk {disk} is missing" for disk in lost if self.spared(self.carried(disk))]
        absent = {device for device in named(self.config) if not self.has(device)}
        names = {p + array.name for array in self.arrays for p in ARRAY}
        names |= {p + volume.name for volume in self.volumes for p in VOLUME}
        on_lost = {device for disk in lost for device in self.carried(disk)}
        bare = absent - self.made_on.keys() - names - on_lost
        for array in self.arrays:
            gone = self.lost(array.devices)
            if gone and self.runs(array):
                notes.append(f"the array {array.name} starts without {' and '.join(gone)}")
            elif gone and not self.spared([p + array.name for p in ARRAY]):
                needed += [
                    f"{device} is missing, and the array {array.name} needs it" for device in gone if device in bare
                ]
        for volume in self.volumes:
            if volume.device in bare and not self.spared([p + volume.name for p in VOLUME]):
                needed.append(f"{volume.device} is missing, and the volume {volume.name} needs it")
        degraded = {}
        for filesystem in self.filesystems:
            gone, name = self.lost(members(filesystem)), filesystem.name
            if not gone:
                continue
            if self.mounts(filesystem):
                notes.append(f"the file system {name} is mounted without {' and '.join(gone)}")
                degraded[filesystem.device] = next(d for d in members(filesystem) if d not in gone)
            elif self.left_out(filesystem):
                notes.append(f"the file system {name} is left out, as its option {NOFAIL} says: {gone[0]} is missing")
            else:
                needed += [
                    f"{device} is missing, and the file system {name} needs it" for device in gone if device in bare
                ]
        return MissingDevices(
            self.without(absent), tuple(dict.fromkeys(needed)), tuple(notes), frozenset(absent), degraded
        )

    def why(self, disk: str) -> str:
        """Who needs it, as far as that is known."""
        for device in self.carried(disk):
            for filesystem in self.filesystems:
                if device in members(filesystem):
                    return f", and the file system {filesystem.name} needs it"
            users = [f"array {array.name}" for array in self.arrays_on([device])]
            users += [f"volume {volume.name}" for volume in self.volumes_on([device])]
            if users:
                return f", and the {users[0]} needs it"
        return ""

    def without(self, absent: Collection[str]) -> Rendering:
        """The configuration without what is left out, and without what only that needs."""
        out = [f for f in self.filesystems if self.left_out(f)]
        if not absent:
            return self.config
        result = self.config.copy()
        storage, roots = result.storage, tuple(f.path for f in out if f.path)
        storage.disks = [d for d in storage.disks if d.device in self.there]
        storage.arrays = [a for a in storage.arrays if self.runs(a)]
        storage.volumes = [v for v in storage.volumes if self.has(v.device)]
        storage.filesystems = [f for f in storage.filesystems if f not in out]
        storage.folders = [folder for folder in storage.folders if not is_below(folder.path, roots)]
        storage.files = [file for file in storage.files if not is_below(file.path, roots)]
        storage.links = [link for link in storage.links if not is_below(link.path, roots)]
        systemd = result.systemd
        systemd.units = [u for u in systemd.units if not any(unit_of(u, f) for f in out)]
        return result


def with_degraded(config: Rendering, degraded: Mapping[str, str]) -> Rendering:
    """The configuration whose file systems on `degraded` are mounted by another device, with the option that needs.

    Only for what is done with it after the rules of `eachboot`, which know what was done before by what it says.
    """
    result = config.copy()
    for filesystem in result.storage.filesystems:
        if (other := degraded.get(filesystem.device)) is None:
            continue
        device, options = filesystem.device, [*filesystem.mount_options, "degraded"]
        for unit in result.systemd.units:
            if unit_of(unit, filesystem):
                text = _with_option(unit.contents.replace(device, other), options)
                unit.contents = text.replace(unit_name(device), unit_name(other))
        filesystem.device, filesystem.mount_options = other, options
    return result


def _with_option(contents: str, options: Collection[str]) -> str:
    lines = [line for line in contents.splitlines() if not line.startswith("Options=")]
    at = next(n for n, line in enumerate(lines) if line.startswith("What=")) + 1
    return "\n".join([*lines[:at], "Options=" + ",".join(options).replace("%", "%%"), *lines[at:], ""])
