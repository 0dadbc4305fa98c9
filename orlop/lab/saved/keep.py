"""The files of a lab, linked or copied between its folder and a saved one: one table says which, and how.

Linked is what is only ever replaced whole; copied is what somebody writes to in place. The memory goes its own way, and
the disks: a machine's disk is the newest of a chain, of which all below is read only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from orlop.errors import BadInput
from orlop.machines.paths import MachinePaths
from orlop.processes import run

_COPY_SECONDS = 600.0


class CopyWay(Enum):
    LINK = 1
    COPY = 2


LAB_FILES = {
    "base.raw": CopyWay.LINK,
    "usr.erofs": CopyWay.LINK,
    "media.erofs": CopyWay.LINK,
    "id": CopyWay.LINK,
    "id.pub": CopyWay.LINK,
    "known_hosts": CopyWay.COPY,
}
NODE_FILES = {
    "vars.fd": CopyWay.COPY,
    "console.log": CopyWay.COPY,
    "tmpfiles.extra": CopyWay.LINK,
    "smbios.txt": CopyWay.LINK,
    "config.ign": CopyWay.LINK,
    "config.iso": CopyWay.LINK,
    "on-esp": CopyWay.LINK,
}
_DISK = re.compile(r"(disk|data[0-9]+)\.qcow2")
_LAYER = re.compile(r"(disk|data[0-9]+)\.[0-9]+\.qcow2")


def node_file(name: str) -> CopyWay | None:
    """How a file of a machine's folder goes into a saved lab; None: not at all."""
    if _LAYER.fullmatch(name):
        return CopyWay.LINK
    return CopyWay.COPY if _DISK.fullmatch(name) else NODE_FILES.get(name)


def disks(at: MachinePaths) -> list[Path]:
    """The machine's disks, each the newest of its chain."""
    return sorted(path for path in at.folder.glob("*.qcow2") if _DISK.fullmatch(path.name))


def layer(disk: Path) -> Path:
    """Where a disk that was saved goes in the folder of a lab, below the lab's own: the next of its chain."""
    there = sum(1 for path in disk.parent.glob(f"{disk.stem}.*.qcow2") if _LAYER.fullmatch(path.name))
    return disk.with_name(f"{disk.stem}.{there}.qcow2")


def backing(head: bytes) -> str:
    """The name that a qcow2 image, of which this is the beginning, has of what is below it; "" for nothing.

    Source: QEMU's docs/interop/qcow2.rst: offset and length of the name at bytes 8 and 16.
    """
    if head[:4] != b"QFI\xfb":
        raise BadInput("it is not a qcow2 image")
    offset, length = int.from_bytes(head[8:16]), int.from_bytes(head[16:20])
    return os.fsdecode(head[offset : offset + length]) if offset else ""


def put(files: Iterable[tuple[Path, CopyWay]], folder: Path) -> None:
    """Link or copy the files that are there into the folder."""
    copied = []
    for file, how in files:
        if how is CopyWay.COPY or not _is_linked(file, folder / file.name):
            copied.append(file)
    if copied := [file for file in copied if file.exists()]:
        copy(copied, folder)


def _is_linked(file: Path, to: Path) -> bool:
    try:
        os.link(file, to)
    except OSError:  # not there, or may not be linked
        return False
    return True


def copy(what: Iterable[Path], folder: Path) -> None:
    """Copy files, or folders with all that is in them, into the folder: holes stay holes, blocks are shared where the
    file system can.
    """
    argv: list[str | Path] = ["cp", "-a", "--reflink=auto", "--sparse=auto", "-t", folder, "--", *what]
    run(argv, what=f"copying to {folder.name}", timeout=_COPY_SECONDS)
