"""Rules about disks, partitions, RAID, file systems and encrypted volumes."""

from __future__ import annotations

import re

from orlop.model.disk import names
from orlop.provision.report import Report
from orlop.provision.rules.files import check_path, path_problem
from orlop.provision.tree import Obj

_GUID = re.compile(r"|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LABEL_BYTES = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11, "none": 1 << 30}
_STRIPED = ("linear", "raid0", "0", "stripe")
_LEVELS = (*_STRIPED, "raid1", "1", "mirror", "raid4", "4", "raid5", "5", "raid6", "6", "raid10", "10")
_PINS = ("tpm2", "tang", "sss")


def check(root: Obj, report: Report) -> None:
    storage = root.obj("storage")
    _system(storage, report)
    for disk in storage.objs("disks"):
        _disk(disk, report)
    for raid in storage.objs("raid"):
        _raid(raid, report)
    for filesystem in storage.objs("filesystems"):
        _filesystem(filesystem, report)
    for luks in storage.objs("luks"):
        _luks(luks, report)


def _system(storage: Obj, report: Report) -> None:
    """What the names alone show to be the system's: a machine refuses it as well, whatever it is called there."""
    for kind in ("disks", "raid", "luks", "filesystems"):
        for entry in storage.objs(kind):
            given = [(entry.text("device") or "", entry.at("device"))]
            for name in ("devices", "options"):
                if entry.type.by_name.get(name):
                    given += zip(entry.texts(name), entry.seq(name).places, strict=True)
            for device, place in given:
                if names.is_system(device):
                    report.error(place, f"{device}: {names.WHY}", names.ADVICE)
                elif names.may_be_system(device):
                    what = f"{device} is the disk that most machines boot from, and the boot refuses it there"
                    report.warn(place, what, "name the disk by its serial number: /dev/disk/by-id/…")
    for filesystem in storage.objs("filesystems"):
        path = filesystem.text("path")
        if path and (why := names.why_not_at(path)):
            hint = "mount it at a folder of its own below /var"
            report.error(filesystem.at("path"), f"nothing can be mounted at {path}: it {why}", hint)


def _disk(disk: Obj, report: Report) -> None:
    check_path(disk, "device", report)
    partitions = disk.objs("partitions")
    for partition in partitions:
        _partition(partition, report)
    _overlaps(partitions, report)
    labels: dict[str, Obj] = {}
    for partition in partitions:
        label = partition.text("label")
        if label is not None:
            first = labels.setdefault(label, partition)
            if first is not partition:
                line = first.place.span.line
                report.error(partition.at("label"), f"the label {label!r} is used twice", f"first in line {line}")
    removed = [p for p in partitions if p.flag("should_exist") is False]
    if removed and any(not p.number("number") for p in partitions):
        report.error(
            disk.at("partitions"),
            "a partition is removed while another has no number",
            "give every partition of this disk a number: where a new one goes depends on what is removed",
        )


def _partition(partition: Obj, report: Report) -> None:
    label = partition.text("label")
    if not partition.number("number") and label is None:
        report.error(partition.place, "a partition needs a number or a label")
    if label is not None and len(label.encode()) > 36:
        report.error(partition.at("label"), "the label is longer than 36 bytes")
    if label is not None and ":" in label:
        report.error(partition.at("label"), "the label holds a colon, and would end there")
    for name in ("guid", "type_guid"):
        guid = partition.text(name)
        if guid is not None and not _GUID.fullmatch(guid):
            report.error(partition.at(name), f"{name} must be a GUID", "like 01234567-89AB-CDEF-0123-456789ABCDEF")
    if partition.flag("should_exist") is False:
        extra = [n for n in ("label", "start_mib", "size_mib") if partition.has(n)]
        extra += [n for n in ("guid", "type_guid") if partition.text(n)]
        if extra:
            report.error(partition.place, f"a partition that shall not exist has no {extra[0]}", "only its number")


def _overlaps(partitions: list[Obj], report: Report) -> None:
    """Partitions whose start and size are both given may not share a MiB."""
    placed: list[tuple[int, int, Obj]] = []
    for partition in partitions:
        start, size = partition.number("start_mib"), partition.number("size_mib")
        if start and size is not None:
            placed.append((start, start + max(size, 1) - 1, partition))
    placed.sort(key=lambda p: (p[0], p[1]))
    reach: tuple[int, Obj] | None = None
    for start, end, partition in placed:
        if reach is not None and start <= reach[0]:
            other = reach[1]
            later = max(partition, other, key=lambda p: (p.place.span.line, p.place.span.column))
            first = other if later is partition else partition
            report.error(
                later.place,
                f"this partition overlaps that of line {first.place.span.line}",
                f"both have MiB {start}",
            )
        if reach is None or end > reach[0]:
            reach = (end, partition)


def _raid(raid: Obj, report: Report) -> None:
    level = raid.text("level")
    if not level:
        report.error(raid.at("level"), "a RAID needs a level", "such as `level: raid1`")
    elif level not in _LEVELS:
        report.error(raid.at("level"), f"unknown RAID level {level!r}", f"one of: {', '.join(_LEVELS)}")
    elif level in _STRIPED and raid.number("spares"):
        report.error(raid.at("spares"), f"{level} has no use for spares")
    if not raid.texts("devices"):
        report.error(raid.at("devices"), "a RAID needs devices")
    for device, place in zip(raid.texts("devices"), raid.seq("devices").places, strict=True):
        if reason := path_problem(device):
            report.error(place, f"the device {reason}")


def _filesystem(filesystem: Obj, report: Report) -> None:
    check_path(filesystem, "device", report)
    format_, label = filesystem.text("format"), filesystem.text("label")
    if filesystem.text("path"):
        check_path(filesystem, "path", report)
    if format_ and format_ not in _LABEL_BYTES:
        report.error(filesystem.at("format"), f"unknown format {format_!r}", f"one of: {', '.join(_LABEL_BYTES)}")
    elif format_ and label and len(label.encode()) > _LABEL_BYTES[format_]:
        report.error(filesystem.at("label"), f"a label of {format_} has at most {_LABEL_BYTES[format_]} bytes")
    elif not format_:
        given = [n for n in ("path", "label", "uuid") if filesystem.text(n)]
        given += ["wipe_filesystem"] if filesystem.flag("wipe_filesystem") else []
        given += [n for n in ("mount_options", "options") if filesystem.texts(n)]
        if given:
            report.error(
                filesystem.at("format"), f"a file system with {given[0]} needs a format", "such as `format: ext4`"
            )


def _luks(luks: Obj, report: Report) -> None:
    check_path(luks, "device", report)
    if "/" in (luks.text("name") or ""):
        report.error(luks.at("name"), "the name of a volume cannot hold a slash")
    if len((luks.text("label") or "").encode()) > 47:
        report.error(luks.at("label"), "the label is longer than 47 bytes")
    clevis = luks.obj("clevis")
    custom = clevis.obj("custom")
    pin, config = custom.text("pin"), custom.text("config")
    if pin or config or custom.flag("needs_network"):
        if not pin:
            report.error(custom.at("pin"), "a custom clevis needs a pin", f"one of: {', '.join(_PINS)}")
        elif pin not in _PINS:
            report.error(custom.at("pin"), f"unknown pin {pin!r}", f"one of: {', '.join(_PINS)}")
        if not config:
            report.error(custom.at("config"), "a custom clevis needs a config")
    if pin and (clevis.objs("tang") or clevis.flag("tpm2") or clevis.number("threshold")):
        report.error(clevis.place, "a custom clevis excludes tang, tpm2 and threshold")
