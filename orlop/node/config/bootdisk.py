"""The disk that was booted, among others: whether it is the one that was taken for it, and what they hold of ours.

Which one it is, udev found out before /usr was opened (os/…/claim-disk); here that is only read. Making it this
machine's own is `owndisk`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from orlop.errors import OrlopError
from orlop.model.disk import gpt, own
from orlop.model.update.boot import Uki
from orlop.node.config import devices, tries
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.owndisk import make_own, opened

TWINS = Path("/run/orlop/disk-twins")
BLOCK = Path("/sys/class/block")
MOUNT_POINT = Path("/run/orlop/esp")


def settle(name: str, uki: Uki | None, dev: Path = Path("/dev")) -> list[str]:
    """Make the disk `name` this machine's own. Returns what is to be known about it and other disks.

    `uki`: what the boot loader renamed when it counted this boot. Raises StageFailed when another disk was booted.
    """
    notes = others(name)
    booted = ""
    try:
        with opened(dev / name) as disk:
            is_needed = own.needed(gpt.read(disk.read, disk.size, disk.sector))
        if is_needed:
            devices.settle()  # another disk with the image's UUIDs may have come a moment later
        if same := twins():
            booted = other_than(name, same, uki, lambda disk, uki: _has(dev / (partition(disk, "esp") or disk), uki))
        if is_needed or same:  # udev looks at the whole disk again when who could have written to it closes it
            with opened(dev / name, writable=True) as disk:
                make_own(disk, again=bool(same))
    except (OSError, OrlopError) as e:
        notes.append(f"the disk {name} keeps the UUIDs that it has in common with others: {e}")
    if booted and uki:
        tries.give_back(uki, MOUNT_POINT, dev / partition(booted, "esp"))
        reason = f"{booted} was booted, and {name}, which had the same UUIDs, was taken for it; {name} has its own now"
        raise StageFailed(Failure("hardware", reason))
    return notes


def other_than(name: str, same: Sequence[str], uki: Uki | None, has: Callable[[str, Uki], bool]) -> str:
    """The disk that was booted, where it is another than `name`; "" where it is not, or nobody can tell.

    Of disks with the same UUIDs, the boot loader has renamed a UKI on one.
    """
    if not same or uki is None or has(name, uki):
        return ""
    return next((disk for disk in same if has(disk, uki)), "")


def twins(folder: Path = TWINS) -> list[str]:
    """Disks with the UUIDs of the one that was taken for the booted one."""
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def partition(disk: str, label: str, sysfs: Path = BLOCK) -> str:
    """The kernel's name of a partition; "" when the disk has none that is called so."""
    for uevent in sorted((sysfs / disk).glob("*/uevent")):
        if f"PARTNAME={label}" in uevent.read_text(errors="replace").splitlines():
            return uevent.parent.name
    return ""


def _has(esp: Path, uki: Uki) -> bool:
    with tries.mounted(esp, MOUNT_POINT, "ro") as folder:
        return folder is not None and (folder / uki.name).exists()


def others(name: str, sysfs: Path = BLOCK) -> list[str]:
    """What to say of other disks that an Orlop image was written to."""
    disks: dict[str, list[str]] = {}
    for uevent in sorted(sysfs.glob("*/uevent")):
        if not (uevent.parent / "partition").exists():
            continue
        values = dict(line.split("=", 1) for line in uevent.read_text(errors="replace").splitlines() if "=" in line)
        disk, label = uevent.parent.resolve().parent.name, values.get("PARTNAME", "")
        if disk != name and label.startswith("orlop_") and not label.endswith("_verity"):
            disks.setdefault(disk, []).append(label.removeprefix("orlop_"))
    return [
        f"the disk {disk} holds another installation ({', '.join(versions)}): this machine runs from {name} and does "
        "not touch it"
        for disk, versions in sorted(disks.items())
    ]
