"""Where a lab's things are, from its name alone: nothing needs lab.json to be found, so anything can be removed.

Sockets are not in the lab's folder: their paths may hold 107 bytes, and a clone can be deep. They are in a folder under
/tmp that only this user can enter, named by the hash of the lab's folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput, OrlopError
from orlop.workspace import Workspace

DEFAULT_LAB = "default"
PROGRAMS = ("qemu-system-x86_64", "qemu-img", "vde_switch")
_LAB = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?")
_NODE = re.compile(r"n[1-9][0-9]?")


def is_lab_name(text: str) -> bool:
    return bool(_LAB.fullmatch(text))


@dataclass(frozen=True)
class Paths:
    """The places of lab `name`. Raises BadInput when that is no name for a lab."""

    ws: Workspace
    name: str

    def __post_init__(self) -> None:
        if not is_lab_name(self.name):
            raise BadInput(
                f"{self.name!r} is no name for a lab",
                hint="1 to 31 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'",
            )

    @property
    def folder(self) -> Path:
        return self.ws.labs / self.name

    @property
    def run(self) -> Path:
        key = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path("/tmp") / f"orlop-{os.getuid()}-{key}"

    @property
    def state(self) -> Path:
        return self.folder / "lab.json"

    @property
    def base(self) -> Path:
        """The image's disk: a hard link, so that it outlives the image folder."""
        return self.folder / "base.raw"

    @property
    def media(self) -> Path:
        return self.folder / "media.erofs"

    @property
    def key(self) -> Path:
        return self.folder / "id"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def switch(self) -> Path:
        """The folder the private network's switch listens in."""
        return self.run / "sw"

    @property
    def switch_pid(self) -> Path:
        return self.folder / "switch.pid"

    def node(self, name: str) -> NodePaths:
        if not _NODE.fullmatch(name):
            raise BadInput(f"{name!r} is no name of a node", hint="nodes are called n1, n2, …")
        return NodePaths(self.folder / name, self.run / f"{name}.qmp", self.run / f"{name}.con")


@dataclass(frozen=True)
class NodePaths:
    folder: Path
    qmp: Path
    console: Path

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


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter; refuse one that somebody else put there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    there = folder.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid():
        raise OrlopError(f"{folder} is not a folder of this user", hint="remove it, then try again")
    folder.chmod(0o700)
