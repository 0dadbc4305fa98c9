"""Where one machine's things are, as a value: in a folder, and its sockets apart from it.

Sockets are not in the folder: their paths may hold 107 bytes, and a folder's can be longer.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import OrlopError


@dataclass(frozen=True)
class MachinePaths:
    folder: Path
    qmp: Path
    console: Path
    slirp: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    def data_disk(self, number: int) -> Path:
        """A further disk, counted from 1."""
        return self.folder / f"data{number}.qcow2"

    @property
    def write_log(self) -> Path:
        """When it is there as the node is powered on, every write to its disk is recorded in it, from its start."""
        return self.folder / "writes.log"

    @property
    def vars(self) -> Path:
        return self.folder / "vars.fd"

    @property
    def config(self) -> Path:
        return self.folder / "tmpfiles.extra"

    @property
    def ignition(self) -> Path:
        """The user's configuration, Ignition's JSON."""
        return self.folder / "config.ign"

    @property
    def no_ignition(self) -> Path:
        """Never there: what a metadata service reads that has no user data."""
        return self.folder / "no-config.ign"

    @property
    def config_disk(self) -> Path:
        """A disk that holds the user's configuration."""
        return self.folder / "config.iso"

    @property
    def esp_mark(self) -> Path:
        """There while the user's configuration is on the ESP of the node's disk."""
        return self.folder / "on-esp"

    @property
    def firmware_text(self) -> Path:
        """`config` as a string of the firmware's tables."""
        return self.folder / "smbios.txt"

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "qemu.log"

    @property
    def pid(self) -> Path:
        return self.folder / "qemu.pid"

    # of a container machine

    @property
    def var(self) -> Path:
        """Its /var."""
        return self.folder / "var"

    @property
    def machine(self) -> Path:
        """What its supervisor is told."""
        return self.folder / "machine.json"

    @property
    def program_log(self) -> Path:
        """What its supervisor says besides the console."""
        return self.folder / "supervise.log"

    @property
    def slirp_log(self) -> Path:
        return self.folder / "slirp.log"


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter; refuse one that somebody else put there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    there = folder.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid():
        raise OrlopError(f"{folder} is not a folder of this user", hint="remove it, then try again")
    folder.chmod(0o700)
