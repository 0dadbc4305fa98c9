"""A try that is given back while the machine waits for something that is no fault of its version.

systemd-boot counts a try before it starts a version, by renaming its UKI. A machine that waits for a disk may be
switched off and on while somebody looks for a cable, and must not lose its version by that. So the UKI has its old name
for as long as the waiting lasts, and before the boot goes on the one that systemd-boot gave it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orlop.model.update.boot import FOLDER, Uki

ESP = Path("/dev/disk/orlop/esp")
COUNTED = Path("/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")


def counted(variable: Path = COUNTED) -> Uki | None:
    """The UKI of this boot as systemd-boot renamed it; None when its tries are not counted."""
    try:
        raw = variable.read_bytes()[4:]  # the first four bytes are the variable's attributes
    except OSError:
        return None
    path = raw.decode("utf-16-le", "replace").rstrip("\0")
    return Uki.parse(path.replace("\\", "/").rpartition("/")[2])


def untried(uki: Uki) -> Uki:
    return uki if uki.left is None or not uki.done else replace(uki, left=uki.left + 1, done=uki.done - 1)


def give_back(uki: Uki, mount_point: Path, esp: Path) -> None:
    """This boot's try does not count, whatever comes of it."""
    _rename(uki, untried(uki), mount_point, esp)


@contextmanager
def lent(uki: Uki | None, mount_point: Path, esp: Path = ESP) -> Iterator[None]:
    """The try of this boot does not count in the block. An ESP that cannot be written to is let be."""
    if uki is None:
        yield
        return
    give_back(uki, mount_point, esp)
    try:
        yield
    finally:
        _rename(untried(uki), uki, mount_point, esp)


@contextmanager
def mounted(esp: Path, mount_point: Path, how: str) -> Iterator[Path | None]:
    """The folder of an ESP's UKIs, None when it cannot be mounted. `how`: "ro" or "rw"."""
    mount_point.mkdir(parents=True, exist_ok=True)
    is_mounted = _said(["mount", "-t", "vfat", "-o", f"{how},nosuid,nodev,noexec", str(esp), str(mount_point)])
    try:
        yield mount_point / FOLDER if is_mounted else None
    finally:
        if is_mounted:
            _said(["umount", str(mount_point)])


def _rename(old: Uki, new: Uki, mount_point: Path, esp: Path) -> None:
    with mounted(esp, mount_point, "rw") as folder:
        try:
            if folder is not None:
                renamed(folder, old, new)
        except OSError as e:
            print(f"{old.name} on the ESP keeps its name: {e}", flush=True)


def renamed(folder: Path, old: Uki, new: Uki) -> None:
    """Give a UKI its other name, on the disk. Nothing happens when there is none, or the other is there already."""
    if old == new or not (folder / old.name).exists() or (folder / new.name).exists():
        return
    os.rename(folder / old.name, folder / new.name)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _said(argv: list[str]) -> bool:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    if done.returncode:
        print(" ".join(done.stderr.split()), flush=True)
    return done.returncode == 0
