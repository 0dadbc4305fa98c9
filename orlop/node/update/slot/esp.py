"""The UKIs on the ESP: the folder EFI/Linux.

FAT has no journal, and a rename is two or more sectors: a power cut between them can leave a file with its short name
alone, `ORLOP_~1.EFI`, which systemd-boot starts without counting. So a name never decides whether a UKI may be started.
Its first two bytes do: every EFI program begins with `MZ`, and what does not is not even listed. A UKI is written
*veiled*, without them; it gets its name; and one write of two bytes, which no cut can half-do, unveils it. Before a UKI
is removed it is veiled again.

Invariant: a file that ends in `.efi` and begins with `MZ` is whole. Of such a file nothing but these bytes is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orlop.files import sync_dir
from orlop.model.update import boot
from orlop.node.update.slot.device import Device, OpenFile, faults


class Esp(Protocol):
    """Everything may raise `device.DiskFault`."""

    def names(self) -> tuple[str, ...]:
        """Every file in EFI/Linux."""
        ...

    def free(self) -> int:
        """How many bytes a new file may have."""
        ...

    def size(self, name: str) -> int: ...

    def reading(self, name: str) -> AbstractContextManager[Device]: ...

    def writing(self, name: str, size: int) -> AbstractContextManager[Device]:
        """A `.part` file of this size, made when it is not there. Raises NoSpace."""
        ...

    def stamp(self, name: str, data: bytes) -> None:
        """Overwrite the first bytes of the file where they are. Durable when it returns."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Durable when it returns."""
        ...

    def remove(self, name: str) -> None:
        """Durable when it returns; nothing when it is not there."""
        ...


MAGIC = b"MZ"
VEIL = bytes(len(MAGIC))


@dataclass
class Veiled:
    """A UKI that is written: it reads as it will be, and is on the medium without its first bytes."""

    file: Device

    @property
    def size(self) -> int:
        return self.file.size

    def read_into(self, buffer: memoryview, at: int) -> int:
        count = self.file.read_into(buffer, at)
        if at == 0 and count >= len(MAGIC) and buffer[: len(MAGIC)] == VEIL:
            buffer[: len(MAGIC)] = MAGIC
        return count

    def write(self, data: bytes | memoryview, at: int) -> None:
        self.file.write(VEIL + bytes(data[len(VEIL) :]) if at == 0 else data, at)

    def start_writing(self, at: int, size: int) -> None:
        self.file.start_writing(at, size)

    def flush(self) -> None:
        self.file.flush()

    def forget(self) -> None:
        self.file.forget()

    def close(self) -> None:
        self.file.close()


class EspFolder:
    """A mounted ESP; `top` is its mount point."""

    def __init__(self, top: Path) -> None:
        self._folder = top / boot.FOLDER
        with faults(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> tuple[str, ...]:
        with faults(self._folder):
            return tuple(sorted(p.name for p in self._folder.iterdir() if p.is_file()))

    def free(self) -> int:
        with faults(self._folder):
            about = os.statvfs(self._folder)
        return about.f_bavail * about.f_frsize

    def size(self, name: str) -> int:
        with faults(self._folder / name):
            return (self._folder / name).stat().st_size

    @contextmanager
    def reading(self, name: str) -> Iterator[Device]:
        opened = OpenFile(self._folder / name)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def writing(self, name: str, size: int) -> Iterator[Device]:
        assert boot.is_part(name), name
        opened = OpenFile(self._folder / name, writable=True, create=True)
        try:
            if opened.size > size:
                opened.truncate(size)
            yield opened
        finally:
            opened.close()

    def stamp(self, name: str, data: bytes) -> None:
        opened = OpenFile(self._folder / name, writable=True)
        try:
            opened.write(data, 0)
            opened.flush()
        finally:
            opened.close()

    def rename(self, old: str, new: str) -> None:
        with faults(self._folder / old):
            os.rename(self._folder / old, self._folder / new)
        opened = OpenFile(self._folder / new, writable=True)
        try:
            opened.flush()  # vfat gives the new entry no size before this
        finally:
            opened.close()
        with faults(self._folder):
            sync_dir(self._folder)

    def remove(self, name: str) -> None:
        with faults(self._folder / name):
            (self._folder / name).unlink(missing_ok=True)
            sync_dir(self._folder)
