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
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orlop.errors import Busy, NoSpace

MAKING = ".making-"
_LOOK_AGAIN = 0.1  # seconds, at a lock that somebody else holds
_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_HELD = 0x10 | 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL: nobody removes such a file, nor what is in such a folder
FULL = (errno.ENOSPC, errno.EDQUOT)
SPACE_HINT = "free some space there, or set ORLOP_STATE to a folder on a larger disk"


@contextmanager
def usual_umask() -> Iterator[None]:
    """What is made meanwhile has the modes that its maker names, whatever the caller's umask is."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step that survives a power cut. Raises NoSpace when the disk is full."""
    with replacing(path, mode=mode) as f:
        f.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file beside `path` that replaces it in one step when the block ends well, and is removed when it does not.

    Raises NoSpace when the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=MAKING, dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as f:
            yield f
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
    """Remove a file or folder if it is there, never following a link or a mount, whatever the modes inside, and
    for root whatever the attributes (chattr): machines leave both.

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
    with suppress(OSError):  # removing it tells what stays
        release(folder)
    folder.chmod(0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _open_up(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    release(Path(entry.path))


def release(path: Path) -> int:
    """Take off the attributes that forbid changes of a file or folder (chattr +i, +a); what all of its attributes were,
    or 0 when none of them did. Raises OSError where we may not.
    """
    attributes = get_attributes(path)
    if not attributes & _HELD:
        return 0
    set_attributes(path, attributes & ~_HELD)
    return attributes


def get_attributes(path: Path) -> int:
    """The attributes of a file or folder; 0 for what has none. Source: ioctl_iflags(2)."""
    if not stat.S_ISREG(mode := path.lstat().st_mode) and not stat.S_ISDIR(mode):
        return 0
    with _opened(path) as fd:
        try:
            raw = fcntl.ioctl(fd, _GET_ATTRIBUTES, struct.pack("l", 0))
        except OSError as e:
            if e.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS):
                return 0
            raise
    return int(struct.unpack("l", raw)[0])


def set_attributes(path: Path, attributes: int) -> None:
    with _opened(path) as fd:
        fcntl.ioctl(fd, _SET_ATTRIBUTES, struct.pack("l", attributes))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def mounts_in(path: Path) -> list[Path]:
    """The mount points at or below `path`, outer ones first."""
    top = os.path.realpath(path)
    points = []
    for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n")[:-1]:
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split(" ")[4])
        if point == top or point.startswith(top + "/"):
            points.append(Path(point))
    return sorted(points)


@contextmanager
def locked(path: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path` for the block. Raises Busy when another process has it for longer than `wait` seconds,
    or another user owns it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a")
    except PermissionError as e:
        raise Busy(
            f"{what} belongs to another user: {e.filename} cannot be written",
            hint="go on as that user (made with sudo? use sudo again), or remove the folder and start over",
        ) from None
    with opened as f:
        _take(f.fileno(), path, what, wait)
        yield


@contextmanager
def locked_folder(path: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the folder `path` itself, which is made if need be, as a lock: for what leaves no lock file behind.

    Raises Busy as `locked`.
    """
    path.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _take(fd, path, what, wait)
        yield
    finally:
        os.close(fd)


def _take(fd: int, path: Path, what: str, wait: float) -> None:
    until = time.monotonic() + wait
    while not _taken(fd):
        if time.monotonic() >= until:
            raise Busy(
                f"{what} is in use by another orlop process (lock {path})",
                hint="wait for it to end, then try again",
            )
        time.sleep(_LOOK_AGAIN)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
