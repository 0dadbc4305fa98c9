"""Files that are whole or not there: write beside, fsync, rename.

Invariant: after any interruption (signal, power cut, full disk) the final path holds the old content or the new,
never a part (on a file system that cannot exchange two folders, at worst nothing, and it is made again). What a killed
run leaves beside it begins with `.making-` and is swept by the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orlop.errors import Busy, NoSpace

MAKING = ".making-"
FULL = (errno.ENOSPC, errno.EDQUOT)
SPACE_HINT = "free some space there, or set ORLOP_STATE to a folder on a larger disk"


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step that survives a power cut. Raises NoSpace when the disk is full."""
    raw = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=MAKING, dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as f:
            f.write(raw)
            f.flush()
            os.fchmod(f.fileno(), mode)
            os.fsync(f.fileno())
        os.rename(name, path)
    except BaseException as e:
        Path(name).unlink(missing_ok=True)
        if isinstance(e, OSError) and e.errno in FULL:
            raise NoSpace(f"no space left to write {path}", hint=SPACE_HINT) from None
        raise
    sync_dir(path.parent)


def sync_dir(path: Path) -> None:
    """Make renames in the folder `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def made_beside(path: Path) -> Iterator[Path]:
    """A fresh folder beside `path` that takes its place when the block ends well, and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    work = path.parent / f"{MAKING}{path.name}-{os.getpid()}"
    work.mkdir()
    try:
        yield work
        _put(work, path)
        sync_dir(path.parent)
    finally:
        remove_tree(work)  # by now what was there before, or what is half-made


def _put(work: Path, path: Path) -> None:
    """Let `path` be what `work` is; what it was before is at `work` after. One step, where the file system has that."""
    if not os.path.lexists(path):
        os.rename(work, path)
        return
    import ctypes  # needed here alone, and slow to load where machines are emulated

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(work), -100, os.fsencode(path), 2) == 0:  # AT_FDCWD, RENAME_EXCHANGE
        return
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    aside = work.with_name(work.name + "-old")
    os.rename(path, aside)
    os.rename(work, path)
    os.rename(aside, work)


def sweep(path: Path) -> None:
    """Remove what runs that were killed left beside `path`. The caller holds the lock that makes this safe."""
    for left in path.parent.glob(f"{MAKING}{path.name}-*"):
        remove_tree(left)


def remove_tree(path: Path) -> None:
    """Remove a file or folder if it is there, never following a link or a mount, whatever the modes inside.

    Raises Busy, having removed nothing, when something is mounted in it: what is mounted belongs to somebody else.
    """
    try:
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not is_folder:
        path.unlink()
        return
    if mounts := mounts_in(path):
        raise Busy(f"{path} cannot be removed: {mounts[-1]} is mounted", hint=f"umount {mounts[-1]}")
    try:
        shutil.rmtree(path)
    except PermissionError:
        _open_up(path)
        shutil.rmtree(path)


def _open_up(folder: Path) -> None:
    """Let the caller empty `folder` and all in it."""
    folder.chmod(0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _open_up(Path(entry.path))


def mounts_in(path: Path) -> list[Path]:
    """The mount points at or below `path`, outer ones first."""
    top = os.path.realpath(path)
    found = []
    for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n")[:-1]:
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split(" ")[4])
        if point == top or point.startswith(top + "/"):
            found.append(Path(point))
    return sorted(found)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` for the block. Raises Busy at once when another process, or another user, has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a")
    except PermissionError as e:
        raise Busy(
            f"{what} belongs to another user: {e.filename} cannot be written",
            hint="go on as that user (made with sudo? use sudo again), or remove the folder and start over",
        ) from None
    with opened as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(
                f"{what} is in use by another orlop process (lock {path})", hint="wait for it to end, then try again"
            ) from None
        yield


def need_space(path: Path, wanted: int, what: str) -> None:
    """Raise NoSpace unless the file system of `path` has `wanted` bytes free."""
    there = path
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise NoSpace(
            f"{what} needs {wanted / 1e9:.1f} GB in {there}, which has {free / 1e9:.1f} GB free",
            hint=SPACE_HINT,
        )
