"""What of a machine's disks is the system's, by the names that a configuration could give it. Pure.

The name shows it for the partitions that every Orlop disk has, and for the mapped /usr. What /dev/sda is, only the
machine knows (`orlop.node.config.systemdisk`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from orlop.model.words.labels import EMPTY_LABEL

_LABELS = ("esp", "var", EMPTY_LABEL)
# the mapped /usr, and what Fedora CoreOS calls the disk that was booted
_NAMES = ("/dev/mapper/usr", "/dev/disk/by-id/dm-name-usr", "/dev/disk/by-id/coreos-boot-disk")
# where no file system of the user's can be mounted, and why
_NO_MOUNTS = {
    "/": "is made anew at every boot",
    "/boot": "is the ESP",
    "/etc": "is made anew at every boot, and sealed",
    "/usr": "is the image's",
    "/var": "is a file system of the system's own, made at the first boot",
    "/var/lib": "holds what the system itself keeps",
    "/var/lib/orlop": "holds what the system itself keeps",
}
_FIRST = re.compile(r"/dev/(?:[shv]d|xvd)a\d*|/dev/(?:nvme0n1|mmcblk0)(?:p\d+)?")
WHY = "it is the system's own"
ADVICE = "give a partition on another disk a label of its own, and mount its file system below /var"


def _plain(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def why_not_at(path: str) -> str:
    """Why no file system can be mounted at a path; "" when one can."""
    return _NO_MOUNTS.get(_plain(path), "")


def is_system(device: str) -> bool:
    """Whether the device is the system's on every machine."""
    path = _plain(device)
    folder, _, name = path.rpartition("/")
    if folder == "/dev/disk/by-partlabel" or folder.endswith("-part/by-partlabel"):
        return name in _LABELS or name.startswith("orlop_")
    return path in _NAMES or path.startswith("/dev/disk/orlop/")


def may_be_system(device: str) -> bool:
    """Whether the device is the system's on most machines: the first disk of its kind, or a partition of it."""
    return bool(_FIRST.fullmatch(_plain(device)))


def named(storage: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(setting, device) of everything that Ignition could write to, in its own rendering of `storage`."""
    for kind, entries in storage.items():
        if kind not in ("disks", "raid", "luks", "filesystems"):
            continue
        for number, entry in enumerate(entries or ()):
            devices = [entry.get("device"), *(entry.get("devices") or ()), *(entry.get("options") or ())]
            for device in devices:
                if isinstance(device, str) and device.startswith("/"):
                    yield f"storage.{kind}.{number}", device
