"""What a boot makes as no later boot will: all of it is on the disk before the system starts, or it is made anew.

Why: a file of the user's is told from one that Ignition has yet to make by whether it is there. When the power goes, a
file system may keep the name of a file and lose its bytes, or a home and lose its owner; the next boot would take that
for the user's. So (`kept.Deeds`):

    before the stage     the paths are noted, with the size of what is added to; on the disk by fsync and rename
    after the stage      what was written is brought to the disk, then the note is taken away
    a boot with a note   undoes: what was not there is removed, what was added is cut off; then it does its stage

Invariant: no system starts while there is a note. So whatever stands at a noted path, a stage has put there, and
undoing removes nothing of anybody else's; what was noted on a disk that the configuration does not mount any more is
let be. Doing it twice does no more than doing it once.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orlop.errors import Busy
from orlop.files import remove_tree
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.rendering import Rendering


def before(root: Path, paths: Iterable[str]) -> dict[str, int | None]:
    """What undoing needs to know: the size of each file below the new root, None for what is not there.

    Left out is what cannot be undone: a link that something is to be added behind.
    """
    sizes: dict[str, int | None] = {}
    for path in paths:
        try:
            status = (root / path.lstrip("/")).lstat()
        except (FileNotFoundError, NotADirectoryError):
            sizes[path] = None
            continue
        if stat.S_ISREG(status.st_mode):
            sizes[path] = status.st_size
    return sizes


def undo(root: Path, noted: Mapping[str, int | None]) -> list[str]:
    """Let the noted paths be as they were. Returns what was done, for the log."""
    notes = []
    for path, size in noted.items():
        place = root / path.lstrip("/")
        if not os.path.lexists(place):
            continue
        if size is None:
            try:
                remove_tree(place)
            except Busy as e:
                notes.append(f"{path} stays as it is: {e}")
                continue
            notes.append(f"{path} is made anew: a boot ended while it was made")
        elif place.is_file() and not place.is_symlink() and place.stat().st_size > size:
            os.truncate(place, size)
            notes.append(f"{path} is back at its {size} bytes: a boot ended while something was added to it")
    return notes


def to_disk(root: Path, folders: Iterable[str]) -> None:
    """Bring the file systems of these folders of the new root to the disk. Raises StageFailed."""
    there = [str(place) for folder in folders if (place := root / folder.lstrip("/")).is_dir()]
    argv = ["sync", "--file-system", *there]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        why = " ".join(done.stderr.split())
        raise StageFailed(Failure("files", f"what was written did not get to the disk: {why}"))


def flush(config: Rendering) -> None:
    """Let the disks of the configuration write what they hold in their caches. Raises StageFailed."""
    for device in dict.fromkeys(_devices(config)):
        try:
            fd = os.open(device, os.O_RDONLY)
        except FileNotFoundError:
            continue  # not there, which the stage let pass
        except OSError as e:
            raise StageFailed(Failure("disks", f"{device} cannot be opened: {e.strerror}")) from None
        try:
            os.fsync(fd)
        except OSError as e:
            raise StageFailed(Failure("disks", f"{device} did not take what was written: {e.strerror}")) from None
        finally:
            os.close(fd)


def _devices(config: Rendering) -> Iterator[str]:
    storage = config.storage
    yield from (disk.device for disk in storage.disks)
    yield from (volume.device for volume in storage.volumes)
    yield from (filesystem.device for filesystem in storage.filesystems)
    yield from (device for array in storage.arrays for device in array.devices)
