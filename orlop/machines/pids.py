"""Which process is which: a process id with its start time, so that a reused number is never mistaken for ours.

`find` needs no record at all: it looks for programs whose command line names a folder, so a lab whose files are gone or
garbage can still be brought down.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LOADER_WORDS = 6  # a loader or interpreter, its options, the file


@dataclass(frozen=True)
class ProcessId:
    """`start` is the start time in clock ticks since the host booted (field 22 of /proc/PID/stat)."""

    pid: int
    start: int


def identify(pid: int) -> ProcessId | None:
    """The running process with this number; None when there is none, or only its remains."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZXx" else ProcessId(pid, int(fields[19]))


def alive(process: ProcessId | None) -> bool:
    return process is not None and identify(process.pid) == process


def kill(process: ProcessId, *, wait: float = 10.0) -> bool:
    """End the process without warning and wait up to `wait` seconds until it is gone. True when it is."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        # The descriptor is tied to the process it was opened for: if that is ours now, it stays ours.
        if identify(process.pid) != process:
            return True
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return bool(select.select([fd], [], [], wait)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)


def from_file(path: Path) -> ProcessId | None:
    """The process whose number a pid file holds; None when the file is missing or garbage, or the process is gone."""
    try:
        text = path.read_text(errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return identify(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None


def find(programs: Iterable[str], folders: Iterable[Path]) -> list[ProcessId]:
    """Processes of these programs that name a path in one of the folders. A program is known by the name that it, or by
    a loader or interpreter its file, was started with.
    """
    wanted = set(programs)
    inside = [f"{folder}/" for folder in folders]
    processes = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # ended while we looked
            continue
        names = {Path(arg).name for arg in argv[:_LOADER_WORDS]}
        if names & wanted and any(part in arg for part in inside for arg in argv[1:]):
            process = identify(int(entry.name))
            if process:
                processes.append(process)
    return processes
