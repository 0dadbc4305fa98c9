"""Files that are whole or not there: write beside, fsync, rename.

Invariant: after any interruption (signal, power cut, full disk) the final path holds the old content or the new,
never a part. What a killed run leaves beside it begins with `.making-` and is swept by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orlop.errors import Busy, NoSpace

MAKING = ".making-"


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step that survives a power cut."""
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
    except BaseException:
        Path(name).unlink(missing_ok=True)
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
        old = path.parent / f"{MAKING}{path.name}-old-{os.getpid()}"
        if path.exists():
            os.rename(path, old)
        os.rename(work, path)
        sync_dir(path.parent)
        remove_tree(old)
    finally:
        remove_tree(work)


def sweep(path: Path) -> None:
    """Remove what runs that were killed left beside `path`. The caller holds the lock that makes this safe."""
    for left in path.parent.glob(f"{MAKING}{path.name}-*"):
        remove_tree(left)


def remove_tree(path: Path) -> None:
    """Remove a file or folder if it is there, never following a link, whatever the modes inside."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` for the block. Raises Busy at once when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as f:
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
            hint="free some space there, or set ORLOP_STATE to a folder on a larger disk",
        )
