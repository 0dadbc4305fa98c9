"""`python -m orlop.node.config.owndisk`: make the disk that was booted this machine's own. Exit status 1: it is not.

Most first boots have no configuration, and this is all that they need of Python: so it is a program of its own, which
os/…/lib/orlop/configure starts instead of orlop.node.config, and imports little, since a boot pays for each import.
What is written is told in `orlop.model.disk.own`. It is written in the initrd, when the ESP is not mounted, after /var
was made; the kernel keeps the UUIDs that it read until the next boot, and nothing of this one asks for them.
"""
# pathlib would be one import more
# ruff: noqa: PTH108, PTH116

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from orlop.errors import OrlopError
from orlop.model.disk import gpt, own
from orlop.model.words.labels import EMPTY_LABEL

CLAIMED = "/run/orlop/disk"
NODE = "/dev/.orlop-own"
_BLKSSZGET = 0x1268
_BLKGETSIZE64 = 0x80081272


class Whole(Protocol):
    """A whole disk; `size` and `sector` in bytes. What was written before `flush` returned survives a power cut."""

    size: int
    sector: int

    def read(self, at: int, size: int) -> bytes: ...

    def write(self, at: int, data: bytes) -> None: ...

    def flush(self) -> None: ...


class BlockDevice:
    def __init__(self, fd: int, size: int, sector: int) -> None:
        self.fd, self.size, self.sector = fd, size, sector

    def read(self, at: int, size: int) -> bytes:
        return os.pread(self.fd, size, at)

    def write(self, at: int, data: bytes) -> None:
        while data:
            count = os.pwrite(self.fd, data, at)
            data, at = data[count:], at + count

    def flush(self) -> None:
        os.fsync(self.fd)


@contextmanager
def opened(path: str | os.PathLike[str], *, writable: bool = False) -> Iterator[BlockDevice]:
    fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        size = struct.unpack("Q", fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8)))[0]
        yield BlockDevice(fd, size, struct.unpack("I", fcntl.ioctl(fd, _BLKSSZGET, bytes(4)))[0])
    finally:
        os.close(fd)


def claimed(folder: str | os.PathLike[str] = CLAIMED) -> str:
    """The kernel's name of the disk that was booted; "" where nobody knows."""
    try:
        return next(iter(sorted(os.listdir(folder))), "")
    except FileNotFoundError:
        return ""


def make_own(disk: Whole, random: Callable[[int], bytes] = os.urandom, *, again: bool = False) -> bool:
    """Give the disk UUIDs of its own if it has the image's, or `again`. Whether anything was written.

    Raises BadInput, OSError.
    """
    table = gpt.read(disk.read, disk.size, disk.sector)
    if not again and not own.needed(table):
        return False
    empty = sum(entry.label == EMPTY_LABEL for entry in table.entries)
    for writes in own.writes(disk.read, table, own.draw(random, empty), again=again):
        for at, data in writes:
            disk.write(at, data)
        disk.flush()
    return True


@contextmanager
def unwatched(path: str, node: str = NODE) -> Iterator[str]:
    """Another name of a device, for as long as the block lasts.

    udev watches the one that it made. When who could have written closes that, it looks at the whole disk and each of
    its partitions anew, which costs as much as all of this program, and finds nothing that anybody waits for: the
    system's own udev reads it all again.
    """
    status = os.stat(path)
    with suppress(FileNotFoundError):  # left by one that was killed
        os.unlink(node)
    os.mknod(node, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
    try:
        yield node
    finally:
        os.unlink(node)


def main() -> int:
    name = claimed()
    try:
        with unwatched(f"/dev/{name}") as node, opened(node, writable=True) as disk:
            make_own(disk)
    except (OSError, OrlopError) as e:  # orlop.node.config, which comes next, tries again and says it where it is seen
        print(f"the disk {name} is not made this machine's own yet: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
