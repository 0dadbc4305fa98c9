"""Give the units of containers the time that their containers ask for to stop.

Quadlet makes a unit of each file in /etc/containers/systemd, without a word about how long its stop may take. So at
each boot, when Ignition has written its files, a drop-in is laid beside the unit that will be made: a part of /etc like
what the configuration wrote, and gone with the next boot. A unit that says itself how long is left alone. Invariant:
nothing here can keep a machine from starting: what cannot be read is passed over.

`dropins` decides, for a machine and for a simulation of one (orlop.simulate); `give_time` reads and writes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

from orlop.files import write_atomic
from orlop.model.words import stopping

QUADLETS = "etc/containers/systemd"
UNITS = "etc/systemd/system"
DROPIN = "10-orlop-stop.conf"
_SERVICES = {".container": "{}.service", ".pod": "{}-pod.service"}


def dropins(texts: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The drop-ins to write, and notes: what is given less than it asks for. `texts`: what the files below QUADLETS
    hold, by their paths from there. The result's paths are those from UNITS.
    """
    found, notes = {}, []
    for path in sorted(texts, key=lambda path: path.split("/")):
        stem, suffix = posixpath.splitext(posixpath.basename(path))
        if suffix not in _SERVICES or "users" in path.split("/"):  # users' own are in a folder `users`
            continue
        more = sorted(p for p in texts if posixpath.dirname(p) == f"{path}.d" and p.endswith(".conf"))
        texts_of = [texts[path], *(texts[p] for p in more)]
        seconds = stopping.needed(texts_of)
        if seconds is None:
            continue
        name = (stopping.values(texts_of, "ServiceName") or [""])[-1]
        service = f"{name}.service" if name else _SERVICES[suffix].format(stem)
        if "/" not in service:
            found[f"{service}.d/{DROPIN}"] = f"[Service]\nTimeoutStopSec={seconds}\n"
        if seconds == stopping.MOST:
            notes.append(f"{service} is given {seconds} s to stop, the most there is")
    return found, notes


def give_time(root: Path) -> list[str]:
    """Write the drop-ins. Returns notes."""
    folder = root / QUADLETS
    if not folder.is_dir():
        return []
    files = [file for file in folder.rglob("*") if file.suffix in (*_SERVICES, ".conf") and file.is_file()]
    written, notes = dropins({str(file.relative_to(folder)): _text(file) for file in files})
    for path, text in written.items():
        write_atomic(root / UNITS / path, text)
    return notes


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
