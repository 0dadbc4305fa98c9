"""Which image a lab boots, checked before anything is made from it.

An image folder (`.orlop/images/VERSION`) holds `orlop_VERSION.raw`; `latest` points to the newest. A damaged or cut-off
disk image is refused here, by its partition table, and not minutes later by a machine that does not boot.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from orlop.built import ImageFiles, find
from orlop.errors import BadInput, Missing
from orlop.model.words.version import Version
from orlop.workspace import Workspace

SECTOR = 512
_VERSION = re.compile(r"[0-9]{8}\.[0-9]+")
_RAW = re.compile(r"orlop_([0-9]{8}\.[0-9]+)\.raw")


@dataclass(frozen=True)
class LabImage:
    """A disk image and its version ("" when its name does not tell)."""

    raw: Path
    version: str

    @property
    def usr(self) -> Path | None:
        """The /usr of the image, beside its disk in the image's folder; None when there is nothing but the disk."""
        if not self.version:
            return None
        file = ImageFiles(self.raw.parent, Version.parse(self.version)).usr
        return file if file.is_file() else None


def resolve(ws: Workspace, given: str | None) -> LabImage:
    """`given`: a version, a folder, a disk image, or None for the newest. Raises Missing or BadInput."""
    if given is None or _VERSION.fullmatch(given):
        folder = find(ws, given)
    else:
        folder = Path(given)
        if not folder.exists():
            raise Missing(f"there is no image {given}", hint="give a version, an image folder or a disk image")
    folder = folder.resolve()
    raw = folder if folder.is_file() else _in_folder(folder)
    check(raw)
    named = _RAW.fullmatch(raw.name)
    return LabImage(raw, named[1] if named else "")


def _in_folder(folder: Path) -> Path:
    disks = [path for path in sorted(folder.glob("orlop_*.raw")) if _RAW.fullmatch(path.name)]
    if len(disks) != 1:
        raise BadInput(
            f"{folder} holds {len(disks)} disk images named orlop_VERSION.raw, not one",
            hint="build it again: `orlop image build`",
        )
    return disks[0]


def check(raw: Path) -> None:
    """Raise BadInput unless the file begins with a whole partition table that fits its size."""
    with raw.open("rb") as f:
        head = f.read(2 * SECTOR)
    trouble = gpt_trouble(head, raw.stat().st_size)
    if trouble:
        raise BadInput(f"{raw} is not a whole disk image: {trouble}", hint="build it again: `orlop image build`")


def gpt_trouble(head: bytes, size: int) -> str:
    """What is wrong with a disk of `size` bytes whose first two sectors are `head`; "" when nothing is.

    Source: UEFI specification, GPT header: signature, size and CRC-32 at offsets 0, 12 and 16, backup header's sector
    at 32.
    """
    header = head[SECTOR : 2 * SECTOR]
    if len(header) < SECTOR or header[:8] != b"EFI PART":
        return "it has no GUID partition table"
    length, crc = struct.unpack_from("<II", header, 12)
    if not 92 <= length <= SECTOR:
        return "the header of its partition table is damaged"
    if zlib.crc32(header[:16] + b"\0\0\0\0" + header[20:length]) != crc:
        return "the checksum of its partition table is wrong"
    (backup,) = struct.unpack_from("<Q", header, 32)
    if (backup + 1) * SECTOR > size:
        return f"it is cut off: {size} bytes long where its partition table needs {(backup + 1) * SECTOR}"
    return ""
