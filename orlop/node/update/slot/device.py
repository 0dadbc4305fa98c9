"""Bytes at an offset: a block device, a file, or a window into either.

One narrow way to the disk, so that a test can stand in for it and count, cut and tear every write. What the kernel says
against a disk or a file becomes one of two errors here, for this folder's other files too (`faults`):

    OrlopError
    ├── NoSpace      it is full
    └── DiskFault    it cannot be read or written: a bad sector, a file system that turned read-only, a disk that went

Invariant: what was written before `flush` returned survives a power cut; nothing is said about what was written after.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orlop.errors import Missing, NoSpace, OrlopError
from orlop.files import FULL
from orlop.model.release.index import BLOCK

PIECE = 1 << 20  # bytes that are read or written at a time; a multiple of what one block of a hash tree is over
_libc = ctypes.CDLL(None)
_BLKGETSIZE64 = 0x80081272
_BLKSSZGET = 0x1268
_UNREADABLE = b"cannot be read, ".ljust(BLOCK, b"\xff")
_HINT = "look for errors of the disk in `journalctl -k`; replace the disk when they stay"
_HINT_READ_ONLY = "the kernel makes a file system read-only after errors: see `journalctl -k`, then reboot the machine"


class DiskFault(OrlopError):
    """What happened to which disk or file. It is worth trying again, later."""


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """What is done to `path` in the block raises NoSpace or DiskFault instead of OSError."""
    try:
        yield
    except OSError as e:
        if e.errno in FULL:
            raise NoSpace(f"no space left to write {path}", hint="free some space there") from None
        hint = _HINT_READ_ONLY if e.errno == errno.EROFS else _HINT
        raise DiskFault(f"{path} cannot be used: {e.strerror or e}", hint=hint) from None


class Readable(Protocol):
    def read_into(self, buffer: memoryview, at: int) -> int:
        """Fill the buffer from offset `at`; how many bytes there were: fewer only at the end. Raises DiskFault."""
        ...


class Device(Readable, Protocol):
    """`size` is in bytes. Everything may raise DiskFault."""

    @property
    def size(self) -> int: ...

    def write(self, data: bytes | memoryview, at: int) -> None:
        """All of `data`, or an error. Raises NoSpace when what holds it is full."""
        ...

    def start_writing(self, at: int, size: int) -> None:
        """Begin to bring this range to the medium, without waiting for it: a flush to come is shorter."""
        ...

    def flush(self) -> None: ...

    def forget(self) -> None:
        """Let the next read come from the medium, not from memory. Only what was flushed is forgotten."""
        ...

    def close(self) -> None: ...


def read(device: Device, at: int, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    buffer = bytearray(size)
    return bytes(buffer[: device.read_into(memoryview(buffer), at)])


def stream(device: Readable, at: int, size: int) -> Iterator[memoryview]:
    """The bytes from `at` on, `PIECE` at a time, the next piece being read while one is used. Ends where they end.

    A piece is valid until the next is asked for.
    """
    buffers = [memoryview(bytearray(PIECE)), memoryview(bytearray(PIECE))]
    if size <= PIECE:
        yield buffers[0][: device.read_into(buffers[0][:size], at)]
        return
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(device.read_into, buffers[0], at)
        for n, start in enumerate(range(0, size, PIECE)):
            here = buffers[n % 2]
            count = coming.result()
            following = start + PIECE
            if following < size and count == PIECE:
                coming = reader.submit(
                    device.read_into, buffers[(n + 1) % 2][: min(PIECE, size - following)], at + following
                )
            yield here[: min(count, size - start)]
            if count < PIECE:
                return


class OpenFile:
    """A regular file or block device."""

    def __init__(self, path: Path, *, writable: bool = False, create: bool = False) -> None:
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self._path = path
        with faults(path):
            try:
                self._fd = os.open(path, flags, 0o600)
            except FileNotFoundError:
                raise Missing(f"there is no {path}") from None
            self._block = stat.S_ISBLK(os.fstat(self._fd).st_mode)
        self.sector = self._ioctl(_BLKSSZGET, "I") if self._block else 512

    @property
    def size(self) -> int:
        if self._block:
            return self._ioctl(_BLKGETSIZE64, "Q")
        with faults(self._path):
            return os.fstat(self._fd).st_size

    def _ioctl(self, request: int, kind: str) -> int:
        with faults(self._path):
            raw = fcntl.ioctl(self._fd, request, bytes(struct.calcsize(kind)))
        return int(struct.unpack(kind, raw)[0])

    def read_into(self, buffer: memoryview, at: int) -> int:
        done = 0
        with faults(self._path):
            while done < len(buffer):
                count = os.preadv(self._fd, [buffer[done:]], at + done)
                if count == 0:
                    break
                done += count
        return done

    def write(self, data: bytes | memoryview, at: int) -> None:
        view = memoryview(data)
        with faults(self._path):
            while view:
                count = os.pwrite(self._fd, view, at)
                view, at = view[count:], at + count

    def truncate(self, size: int) -> None:
        with faults(self._path):
            os.ftruncate(self._fd, size)

    def flush(self) -> None:
        with faults(self._path):
            os.fsync(self._fd)

    def start_writing(self, at: int, size: int) -> None:
        _libc.sync_file_range(self._fd, ctypes.c_int64(at), ctypes.c_int64(size), 2)  # SYNC_FILE_RANGE_WRITE

    def forget(self) -> None:
        with faults(self._path):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        with faults(self._path):
            os.close(self._fd)


@dataclass
class Forgiving:
    """Reads another device; a block that cannot be read comes as bytes that no release has, so it counts as missing."""

    device: Readable

    def read_into(self, buffer: memoryview, at: int) -> int:
        try:
            return self.device.read_into(buffer, at)
        except DiskFault:
            if len(buffer) <= BLOCK:
                buffer[:] = _UNREADABLE[: len(buffer)]
                return len(buffer)
        return sum(self.read_into(buffer[n : n + BLOCK], at + n) for n in range(0, len(buffer), BLOCK))


@dataclass
class DeviceWindow:
    """`size` bytes of another device from `start` on. It does not own what it looks into."""

    device: Device
    start: int
    size: int

    def read_into(self, buffer: memoryview, at: int) -> int:
        length = max(0, min(len(buffer), self.size - at))
        return self.device.read_into(buffer[:length], self.start + at) if length else 0

    def write(self, data: bytes | memoryview, at: int) -> None:
        if at < 0 or at + len(data) > self.size:
            raise NoSpace(f"a write to {at}..{at + len(data)} leaves its partition of {self.size} bytes")
        self.device.write(data, self.start + at)

    def start_writing(self, at: int, size: int) -> None:
        self.device.start_writing(self.start + at, size)

    def flush(self) -> None:
        self.device.flush()

    def forget(self) -> None:
        self.device.forget()

    def close(self) -> None:
        pass
