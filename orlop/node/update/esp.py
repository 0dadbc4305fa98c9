"""The UKIs on the ESP: the folder EFI/Linux.

A UKI is written under a name that systemd-boot does not start, made durable, and only then renamed. Invariant: a file
whose name ends in `.efi` is whole; none is ever written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from orlop.files import sync_dir
from orlop.model import boot
from orlop.node.update.device import Device, OpenFile


class Esp(Protocol):
    def names(self) -> tuple[str, ...]:
        """Every file in EFI/Linux."""
        ...

    def free(self) -> int:
        """How many bytes a new file may have."""
        ...

    def size(self, name: str) -> int: ...

    def reading(self, name: str) -> _Opened: ...

    def writing(self, name: str, size: int) -> _Opened:
        """A `.part` file of this size, made when it is not there. Raises NoSpace."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Durable when it returns."""
        ...

    def remove(self, name: str) -> None:
        """Durable when it returns; nothing when it is not there."""
        ...


class _Opened(Protocol):
    def __enter__(self) -> Device: ...

    def __exit__(self, *args: object) -> object: ...


class EspFolder:
    """A mounted ESP; `top` is its mount point."""

    def __init__(self, top: Path) -> None:
        self._folder = top / boot.FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(p.name for p in self._folder.iterdir() if p.is_file()))

    def free(self) -> int:
        about = os.statvfs(self._folder)
        return about.f_bavail * about.f_frsize

    def size(self, name: str) -> int:
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

    def rename(self, old: str, new: str) -> None:
        os.rename(self._folder / old, self._folder / new)
        sync_dir(self._folder)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        sync_dir(self._folder)
