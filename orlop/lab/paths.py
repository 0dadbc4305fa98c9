"""Where a lab's things are, from its name alone: nothing needs lab.json to be found, so anything can be removed.

Sockets are not in the lab's folder: their paths may hold 107 bytes, and a clone can be deep. They are in a folder under
/tmp that only this user can enter, named by the hash of the lab's folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orlop.errors import BadInput
from orlop.machines.paths import MachinePaths
from orlop.machines.ssh import Login
from orlop.machines.tools import Tools
from orlop.sdk.run import in_sdk
from orlop.workspace import Workspace

DEFAULT_LAB = "default"
_LAB = re.compile(r"[a-z](?:[a-z0-9-]{0,29}[a-z0-9])?")
_NODE = re.compile(r"n[1-9][0-9]?")


def sdk_tools(ws: Workspace) -> Tools:
    """The SDK's programs, for the machines of a lab."""
    return Tools(ws.sdk, partial(in_sdk, ws))


def is_lab_name(text: str) -> bool:
    return bool(_LAB.fullmatch(text))


@dataclass(frozen=True)
class LabPaths:
    """The places of lab `name`. Raises BadInput when that is not a valid name."""

    ws: Workspace
    name: str

    def __post_init__(self) -> None:
        if not is_lab_name(self.name):
            raise BadInput(
                f"{self.name!r} is not a valid name of a lab",
                hint="1 to 31 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'",
            )

    @property
    def folder(self) -> Path:
        return self.ws.labs / self.name

    @property
    def key(self) -> str:
        """What this lab is called where all of this computer's labs meet."""
        return f"orlop-{os.getuid()}-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"

    @property
    def run(self) -> Path:
        return Path("/tmp") / self.key

    @property
    def state(self) -> Path:
        return self.folder / "lab.json"

    @property
    def base(self) -> Path:
        """The image's disk: a hard link, so that it outlives the image folder."""
        return self.folder / "base.raw"

    @property
    def usr(self) -> Path:
        """The image's usr, for container machines: a hard link likewise."""
        return self.folder / "usr.erofs"

    @property
    def cluster(self) -> Path:
        """The folder that `orlop cluster new` would have made."""
        return self.folder / "cluster"

    @property
    def media(self) -> Path:
        return self.folder / "media.erofs"

    @property
    def login(self) -> Login:
        return Login(self.folder / "id", self.folder / "known_hosts")

    @property
    def tools(self) -> Tools:
        """What the lab's machines are run by."""
        return sdk_tools(self.ws)

    @property
    def switch(self) -> Path:
        """The folder the private network's switch listens in."""
        return self.run / "sw"

    @property
    def switch_pid(self) -> Path:
        return self.folder / "switch.pid"

    def node(self, name: str) -> MachinePaths:
        if not _NODE.fullmatch(name):
            raise BadInput(f"{name!r} is not a valid name of a node", hint="nodes are called n1, n2, …")
        sockets = (self.run / f"{name}.{end}" for end in ("qmp", "con", "out"))
        return MachinePaths(self.folder / name, *sockets)
