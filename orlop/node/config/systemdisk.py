"""No configuration writes to the disk that the system runs from, whatever the disk is called there.

/dev/sda is another disk when another controller answers first; a name by-id is of whatever is plugged in there. So each
name that Ignition would be given is followed to the device that it is now, down through partitions, RAID, encryption
and device mapper, to whole disks. What does not exist yet cannot be followed: it is made on disks that were followed,
or it is the system's by its name, which `eachboot` refuses. Only sysfs and the names in /dev are read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orlop.model.disk import names
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.rendering import Rendering

SYSFS = Path("/sys")


def refuse(config: Rendering, booted: str, sysfs: Path = SYSFS) -> None:
    """Raises StageFailed when the configuration names what is on the disk `booted`, a name of the kernel's."""
    for setting, device in names.named(config.storage.raw):
        if booted and booted in disks(device, sysfs):
            reason = (
                f"{setting}: {device} is on the disk {booted}, which this machine runs from: nothing is written to it"
            )
            raise StageFailed(Failure("disks", reason, True))


def disks(device: str, sysfs: Path = SYSFS) -> set[str]:
    """The whole disks that a device is on; none for what is not there. Raises StageFailed for a loop of links."""
    try:
        status = Path(device).stat()
    except OSError as e:
        if isinstance(e, FileNotFoundError | NotADirectoryError):
            return set()
        raise StageFailed(Failure("disks", f"{device} cannot be followed to a disk: {e.strerror}", True)) from None
    if not stat.S_ISBLK(status.st_mode):
        return set()
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return below(sysfs / "dev/block" / number)


def below(block: Path) -> set[str]:
    """The whole disks below a block device, by its folder in sysfs."""
    here = block.resolve()
    if (here / "partition").exists():
        return below(here.parent)
    slaves = sorted((here / "slaves").iterdir()) if (here / "slaves").is_dir() else []
    return {disk for slave in slaves for disk in below(slave)} or {here.name}


def of_usr(sysfs: Path = SYSFS) -> str:
    """The whole disk that /usr is on; "" when it is on none."""
    for mapped in sorted((sysfs / "block").glob("dm-*")):
        if (mapped / "dm/name").read_text().strip() == "usr":
            return min(below(mapped), default="")
    return ""
