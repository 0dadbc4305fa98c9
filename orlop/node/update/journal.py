"""The engine's memory in a file: one line a checkpoint, the last whole line counts.

    <CRC-32 of the rest, 8 hexadecimal digits> {"n": 41, "memory": {…}}

A checkpoint is appended and brought to the disk before the engine goes on. A file that was cut off, torn or filled with
garbage loses the lines that are damaged and no others; without any it is as if nothing had ever been remembered, which
is safe: the disk says where an update is (`orlop.model.update.facts`). From time to time the file is written anew with
its last line alone.

Invariant: `load` never raises for what is in the file; what `save` returned from is what `load` gives after any cut.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import sync_dir, write_atomic
from orlop.model.update.memory import Memory, decode, encode
from orlop.node.update.slot.device import faults

NAME = "journal"
LARGEST = 1 << 18  # bytes; then the file is written anew
_READ = 1 << 22  # of a file that grew beyond any bound only the end is read


class Journal:
    """In `folder`, which is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._number = 0
        self.note = ""

    def load(self) -> Memory:
        """What was saved last; a fresh memory, with `note` saying so, when nothing is left of it."""
        try:
            raw = self._read()
        except FileNotFoundError:
            return Memory()
        except OSError as e:
            self.note = f"{self.path} cannot be read ({e.strerror}): starting from what the disk shows"
            return Memory()
        memory = Memory()
        lines = raw.split(b"\n")
        damaged = 0
        for line in lines:
            record = _parse(line)
            if record is not None and record[0] >= self._number:
                self._number, memory = record
            damaged += record is None and bool(line)
        if damaged:
            from_where = f"going on from checkpoint {self._number}" if self._number else "starting from the disk"
            self.note = f"{self.path} has {damaged} damaged lines: {from_where}"
        return memory

    def _read(self) -> bytes:
        with self.path.open("rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - _READ))
            return f.read(_READ)

    def save(self, memory: Memory) -> None:
        """A checkpoint, durable when it returns. Raises NoSpace or DiskFault: the last one still counts then."""
        self._number += 1
        line = _line(self._number, memory)
        with faults(self.path):
            if self._size() + len(line) > LARGEST:
                write_atomic(self.path, line, mode=0o600)
            else:
                self._append(line)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(fd).st_size
            torn = size and os.pread(fd, 1, size - 1) != b"\n"
            data = b"\n" + line if torn else line  # what a cut left must not swallow this line
            done = os.write(fd, data)
            if done < len(data):
                os.write(fd, data[done:])
            os.fsync(fd)
        finally:
            os.close(fd)
        if fresh:
            sync_dir(self.path.parent)


def _line(number: int, memory: Memory) -> bytes:
    text = json.dumps({"n": number, "memory": encode(memory)}, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> tuple[int, Memory] | None:
    checksum, _, text = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        record = json.loads(text)
        return int(record["n"]), decode(record["memory"])
    except (ValueError, KeyError, TypeError, RecursionError, BadInput):
        return None
