"""The saved labs of this workspace: where they are, which there are, whether one is whole, removed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput, Busy, Missing
from orlop.files import MAKING, remove_tree
from orlop.lab.paths import is_lab_name
from orlop.lab.saved import record as records
from orlop.lab.saved.record import Record
from orlop.machines.paths import MachinePaths
from orlop.workspace import Workspace

_HEAD = 64 << 10
_LEFT = re.compile(re.escape(MAKING) + r".*-([0-9]+)")


@dataclass(frozen=True)
class SavedPlace:
    """The folder of a saved lab; in it, files are called as in a lab's folder."""

    folder: Path

    @property
    def record(self) -> Path:
        return self.folder / "saved.json"

    def node(self, name: str) -> MachinePaths:
        nowhere = Path(os.devnull)  # a saved machine listens on nothing
        return MachinePaths(self.folder / name, nowhere, nowhere, nowhere)

    def memory(self, name: str) -> Path:
        return self.folder / name / "memory"


def place(ws: Workspace, name: str) -> SavedPlace:
    """Where the saved lab of this name is, or will be. Raises BadInput when that is not a valid name."""
    if not is_lab_name(name):
        raise BadInput(
            f"{name!r} is not a valid name for a saved lab",
            hint="1 to 31 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'",
        )
    return SavedPlace(ws.saved / name)


def names(ws: Workspace) -> list[str]:
    if not ws.saved.is_dir():
        return []
    return sorted(entry.name for entry in ws.saved.iterdir() if is_lab_name(entry.name))


def refuse_existing(ws: Workspace, name: str) -> None:
    if os.path.lexists(place(ws, name).folder):
        raise Busy(
            f"there is a saved lab {name!r} already",
            hint=f"`orlop lab saved` lists them, `orlop lab saved rm {name}` removes it",
        )


def read(ws: Workspace, name: str) -> Record:
    """The record of a saved lab. Raises Missing (no such) or BadInput (damaged)."""
    at = place(ws, name)
    if not at.folder.is_dir():
        raise Missing(
            f"there is no saved lab {name!r}",
            hint="`orlop lab saved` lists them, `orlop lab save NAME` makes one of a lab that runs",
        )
    try:
        return records.parse(at.record.read_text(errors="replace"))
    except OSError as e:
        raise _damaged(name, f"{at.record.name} cannot be read: {e.strerror}") from None
    except BadInput as e:
        raise _damaged(name, f"{at.record.name}: {e.message}") from None


def check(ws: Workspace, record: Record, name: str) -> None:
    """Raise BadInput unless every file is there and as long as it was when it was saved."""
    folder = place(ws, name).folder
    for file, size in record.files.items():
        try:
            there = (folder / file).stat().st_size
        except OSError:
            raise _damaged(name, f"{file} is missing") from None
        if there != size:
            raise _damaged(name, f"{file} is {there} bytes long, {size} were saved")
    for node in record.lab.nodes:
        if not (folder / node.name).is_dir():
            raise _damaged(name, f"{node.name} is missing")
    disk = folder / record.lab.image
    if not disk.is_file():
        raise _damaged(name, f"the image's disk {disk} is gone")
    if fingerprint(disk) != record.disk:
        raise _damaged(name, f"{disk} is not the image that its machines were made from")


def _damaged(name: str, what: str) -> BadInput:
    return BadInput(
        f"the saved lab {name!r} is damaged: {what}",
        hint=f"`orlop lab saved rm {name}` removes it; make its lab again and save that",
    )


def fingerprint(disk: Path) -> str:
    """What tells an image's disk from others: its length, and its partition table, which names the partitions by the
    hash of what is in them.
    """
    with disk.open("rb") as f:
        return f"{disk.stat().st_size}-{hashlib.sha256(f.read(_HEAD)).hexdigest()}"


def size(ws: Workspace, name: str) -> int:
    """The bytes that would be free without it: files that labs or images have too do not count."""
    seen = (Path(at) / file for at, _, files in os.walk(place(ws, name).folder) for file in files)
    stats = (file.lstat() for file in seen)
    return sum(s.st_blocks * 512 for s in stats if s.st_nlink == 1)


def remove(ws: Workspace, name: str) -> None:
    """Labs made from it are not touched. The caller holds the lock. Raises Missing when there is none."""
    folder = place(ws, name).folder
    if not os.path.lexists(folder):
        read(ws, name)
    gone = folder.with_name(f"{MAKING}{name}-{os.getpid()}")  # whole or gone, also when we are killed
    os.rename(folder, gone)
    remove_tree(gone)
    tidy(ws)


def leftovers(ws: Workspace) -> list[Path]:
    """What runs that were killed left of a save or of a removal."""
    return [path for path in _making(ws) if not _is_made_now(path)]


def tidy(ws: Workspace) -> None:
    """Remove the leftovers. The caller holds the lock, so nobody is making any of it."""
    for path in leftovers(ws):
        remove_tree(path)
    if ws.saved.is_dir() and not any(ws.saved.iterdir()):
        ws.saved.rmdir()


def _making(ws: Workspace) -> Iterator[Path]:
    return ws.saved.glob(f"{MAKING}*")


def _is_made_now(path: Path) -> bool:
    maker = _LEFT.fullmatch(path.name)
    return maker is not None and int(maker[1]) != os.getpid() and Path("/proc", maker[1]).exists()
