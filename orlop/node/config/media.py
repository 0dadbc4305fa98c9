"""A configuration that lies on a disk of the machine: on the ESP, or on a disk that was attached to bring it.

For machines without a metadata service. `orlop/config.ign` on the ESP comes first, then `config.ign` on a file system
labelled `orlop-config` (ISO 9660 or ext4) or `ORLOP-CONF` (FAT, whose labels are shorter). The disk is mounted
read-only, in this process's own mount namespace, for as long as it takes to copy the file.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from orlop.model.words.sizes import CONFIG_BYTES
from orlop.node.config import facts
from orlop.node.config.failure import Failure, StageFailed


@dataclass(frozen=True)
class MediaPlace:
    device: str
    formats: tuple[str, ...]
    file: str
    called: str


PLACES = (
    MediaPlace("/dev/disk/orlop/esp", ("vfat",), "orlop/config.ign", "the file orlop/config.ign on the ESP"),
    MediaPlace(
        "/dev/disk/by-label/orlop-config",
        ("iso9660", "ext4"),
        "config.ign",
        "the file config.ign on the disk orlop-config",
    ),
    MediaPlace("/dev/disk/by-label/ORLOP-CONF", ("vfat",), "config.ign", "the file config.ign on the disk ORLOP-CONF"),
)


def find_config(into: Path, mount_point: Path) -> str:
    """Copy the first configuration there is to `into`. Returns what to call where it was, or "" when there is none.

    Raises StageFailed when a disk that is there cannot be read.
    """
    subprocess.run(["udevadm", "settle", "--timeout=10"], check=False, timeout=30)
    for place in PLACES:
        if Path(place.device).exists() and _copy(place, into, mount_point):
            return place.called
    return ""


def _copy(place: MediaPlace, into: Path, mount_point: Path) -> bool:
    filesystem = facts.filesystem(place.device)
    if filesystem is None or filesystem.format not in place.formats:
        what, wanted = filesystem.format if filesystem else "nothing", " or ".join(place.formats)
        raise StageFailed(Failure("fetch", f"{place.device} holds {what}, not {wanted}"))
    mount_point.mkdir(exist_ok=True)
    argv = ["mount", "-t", filesystem.format, "-o", "ro,nosuid,nodev,noexec", place.device, str(mount_point)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    if done.returncode != 0:
        raise StageFailed(Failure("fetch", f"{place.device} cannot be mounted: {' '.join(done.stderr.split())}"))
    try:
        file = mount_point / place.file
        if not file.exists():
            return False
        if not file.is_file() or file.stat().st_size > CONFIG_BYTES:
            raise StageFailed(Failure("fetch", f"{place.called} must be a file of at most {CONFIG_BYTES} bytes", True))
        into.write_bytes(file.read_bytes())
        into.chmod(0o600)
        return True
    except OSError as e:
        raise StageFailed(Failure("fetch", f"{place.called} cannot be read: {e.strerror}")) from None
    finally:
        subprocess.run(["umount", str(mount_point)], check=False, timeout=60)
