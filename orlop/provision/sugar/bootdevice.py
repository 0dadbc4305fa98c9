"""`boot_device` of fcos: encrypt or mirror the disk the system boots from.

The layout is that of Fedora CoreOS images: on every mirrored disk four partitions (BIOS boot, PReP or reserved; ESP or
reserved; boot; root), RAID 1 over boot and over root, and a new root file system. Sizes never change: the running
system must fit into what replaces it. What the user writes about the same disks and file systems is laid over it.
"""

from __future__ import annotations

from orlop.provision.merge import merge_at
from orlop.provision.report import Report
from orlop.provision.source import Place
from orlop.provision.spec_base import CLEVIS, DISK, FILESYSTEM, LUKS, PARTITION, RAID, STORAGE
from orlop.provision.tree import Obj, Value, listed, made

RESERVED = "8DA63339-0007-60C0-C436-083AC8230908"
BIOS = "21686148-6449-6E6F-744E-656564454649"
PREP = "9E1A2D38-C612-4316-AA26-8B49521E5A8B"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

# layout → (name, MiB, type) of the first two partitions
_FIRST = {
    "x86_64": (("bios", 1, BIOS), ("esp", 127, ESP)),
    "aarch64": (("reserved", 1, RESERVED), ("esp", 127, ESP)),
    "ppc64le": (("prep", 4, PREP), ("reserved", 1, RESERVED)),
}
_BOOT_MIB = 384
_ROOT_MIB = 8192
_NUMBERS = {"BIOS-BOOT": 1, "PowerPC-PReP-boot": 1, "EFI-SYSTEM": 2, "boot": 3, "root": 4}


def desugar(root: Obj, report: Report) -> Obj:
    device = root.obj("boot_device")
    layout = device.text("layout") or "x86_64"
    if layout not in _FIRST:
        report.error(device.at("layout"), f"unknown layout {layout!r}", f"one of: {', '.join(sorted(_FIRST))}")
        return root
    luks, disks = device.obj("luks"), device.obj("mirror").texts("devices")
    if len(disks) == 1:
        report.error(device.obj("mirror").at("devices"), "one disk is no mirror", "name at least two devices")
        return root
    encrypted = bool(luks.flag("tpm2")) or bool(luks.objs("tang"))
    if not encrypted and not disks:
        return root
    parts: dict[str, list[Obj]] = {}
    root_device = "/dev/disk/by-partlabel/root"
    if disks:
        _mirror(device, disks, layout, parts)
        root_device = "/dev/md/md-root"
    if encrypted:
        parts["luks"] = [_luks(luks, root_device)]
        root_device = "/dev/mapper/root"
    parts.setdefault("filesystems", []).append(_filesystem(root_device, "xfs", "root", device.place))
    lists: dict[str, Value | None] = {name: listed(device.place, objs) for name, objs in parts.items()}
    return merge_at(root, ("storage",), made(STORAGE, device.place, **lists))


def _mirror(device: Obj, disks: list[str], layout: str, parts: dict[str, list[Obj]]) -> None:
    """The disks, RAID arrays and file systems of a mirrored boot disk, into `parts`."""
    mirror = device.obj("mirror")
    places = mirror.seq("devices").places
    parts["disks"], parts["filesystems"] = [], []
    for number, (path, place) in enumerate(zip(disks, places, strict=True), 1):
        partitions = [_partition(f"{n}-{number}", size, guid, place) for n, size, guid in _FIRST[layout]]
        partitions += [_partition(f"boot-{number}", _BOOT_MIB, None, place)]
        partitions += [_partition(f"root-{number}", None, None, place)]
        parts["disks"].append(made(DISK, place, device=path, partitions=listed(place, partitions), wipe_table=True))
        if layout != "ppc64le":
            esp = f"esp-{number}"
            parts["filesystems"].append(_filesystem(f"/dev/disk/by-partlabel/{esp}", "vfat", esp, place))
    # version 1.0 puts the RAID's data at the end, where firmware and GRUB do not trip over it
    parts["raid"] = [
        _raid("boot", len(disks), ["--metadata=1.0"], mirror.place),
        _raid("root", len(disks), [], mirror.place),
    ]
    parts["filesystems"].append(_filesystem("/dev/md/md-boot", "ext4", "boot", mirror.place))


def _partition(label: str, size: int | None, guid: str | None, place: Place) -> Obj:
    return made(PARTITION, place, label=label, size_mib=size, type_guid=guid)


def _raid(name: str, count: int, options: list[str], place: Place) -> Obj:
    members = [f"/dev/disk/by-partlabel/{name}-{n}" for n in range(1, count + 1)]
    more = listed(place, options) if options else None
    return made(RAID, place, devices=listed(place, members), level="raid1", name=f"md-{name}", options=more)


def _filesystem(device: str, format_: str, label: str, place: Place) -> Obj:
    return made(FILESYSTEM, place, device=device, format=format_, label=label, wipe_filesystem=True)


def _luks(luks: Obj, device: str) -> Obj:
    clevis = Obj(CLEVIS, luks.place, dict(luks.values), dict(luks.places))
    return made(LUKS, luks.place, clevis=clevis, device=device, label="luks-root", name="root", wipe_volume=True)


def warnings(root: Obj, report: Report) -> None:
    """What is likely wrong with partitions of the boot disk: a reserved label elsewhere, a root that is too small."""
    for disk in root.obj("storage").objs("disks"):
        if disk.flag("wipe_table"):
            continue
        for partition in disk.objs("partitions"):
            label = partition.text("label")
            if label in _NUMBERS and (partition.number("number") or 0) != _NUMBERS[label]:
                report.warn(
                    partition.at("label"),
                    f"the label {label!r} belongs to partition {_NUMBERS[label]}; this makes another one",
                    f"add `number: {_NUMBERS[label]}`, or choose another label",
                )
            if label == "root":
                _root_size(disk, partition, report)


def _root_size(disk: Obj, partition: Obj, report: Report) -> None:
    size = partition.number("size_mib")
    if size:
        if size < _ROOT_MIB:
            report.warn(partition.at("size_mib"), f"{size} MiB is little for root", f"use {_ROOT_MIB} MiB or more")
    elif any(not p.number("start_mib") for p in disk.objs("partitions") if p is not partition):
        report.warn(
            partition.at("label"),
            "another partition is placed right behind root, which then cannot grow",
            f"give root a `size_mib` of {_ROOT_MIB} or more, or the other partition a `start_mib`",
        )
