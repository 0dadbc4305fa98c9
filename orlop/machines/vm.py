"""Whole machines: QEMU, one process a machine, which outlives who started it.

Lifetime of what is made here: disks and firmware variables stay until their folder goes; a machine runs until it goes
off by itself or its power is taken.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from orlop.errors import CommandFailed
from orlop.machines import qmp
from orlop.machines.paths import MachinePaths
from orlop.machines.pids import ProcessId, from_file
from orlop.machines.qemu import WholeMachine, command
from orlop.machines.tools import Tools
from orlop.processes import run

START_SECONDS = 60.0
# for what QEMU notes of the code it translated: an emulated machine takes a twentieth less processor time to boot
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def start(tools: Tools, m: WholeMachine, more: Sequence[str] = (), *, binds: Sequence[Path] = ()) -> ProcessId:
    """Start QEMU with `more` on its command line. `binds`: folders that hold what the machine's disks are layers over.

    Raises CommandFailed with what QEMU said.
    """
    at, name = m.at, m.at.folder.name
    for old in (at.pid, at.qemu_log):
        old.unlink(missing_ok=True)
    argv = tools.inside([*command(m, tools), *more], binds=binds, env=HUGE_PAGES, die_with_parent=False)
    try:
        run(argv, what=f"starting {name}", timeout=START_SECONDS)
    except CommandFailed as e:  # QEMU's own words go to its log
        words = (e.tail + "\n" + said(at)).strip()
        message = f"starting {name} failed: {words.splitlines()[-1] if words else e.message}"
        raise CommandFailed(message, code=e.code, tail=words) from None
    process = from_file(at.pid)
    if process is None:
        raise CommandFailed(f"QEMU of {name} ended at once", code=1, tail=said(at))
    return process


def said(at: MachinePaths) -> str:
    """The end of what QEMU wrote to its log since it was started."""
    try:
        return at.qemu_log.read_text(errors="replace")[-2000:]
    except FileNotFoundError:
        return ""


def set_links(at: MachinePaths, names: Iterable[str], *, up: bool) -> None:
    """Plug cards of a machine that runs in or out, each by what it is called there (`Nic.plug`)."""
    for name in names:
        qmp.ask(at.qmp, "set_link", {"name": name, "up": up})


def make_firmware(tools: Tools, at: MachinePaths) -> None:
    """The variables of a firmware that was never started."""
    shutil.copyfile(tools.tree / tools.firmware_vars, at.vars)


def make_disk(tools: Tools, base: Path, disk: Path, gib: int) -> None:
    """A machine's own disk: nothing but what differs from `base`, which must stay where it is, seen from the disk."""
    # in the lab's own folder it is named relative to the disk: both may be saved, and used elsewhere
    below = f"../{base.name}" if base.parent == disk.parent.parent else str(base)
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", "raw", str(disk), f"{gib}G"]
    tools.run(argv, what=f"making the disk {disk.name}", binds=[base.parent], timeout=START_SECONDS)


def make_empty_disk(tools: Tools, disk: Path, mib: int) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", str(disk), f"{mib}M"]
    tools.run(argv, what=f"making the disk {disk.name}", timeout=START_SECONDS)
