"""What a machine is, apart from where it is: its memory can be restored into no other. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from orlop.machines.paths import MachinePaths
from orlop.machines.qemu import Nic, SwitchPort, WayOut, WholeMachine, command
from orlop.machines.tools import Tools

_NOWHERE = Path("/")
_FILES = MachinePaths(_NOWHERE / "lab" / "n", _NOWHERE / "qmp", _NOWHERE / "console", _NOWHERE / "slirp")


def definition(m: WholeMachine, tools: Tools) -> str:
    """The hash of QEMU's command line without names, paths, ports, what answers at its services' addresses, and when
    its power came: none of these is what a machine's memory needs.
    """
    neutral = replace(
        m,
        name="n",
        at=_FILES,
        drives=tuple(replace(drive, file=_NOWHERE) for drive in m.drives),
        nics=tuple(map(_neutral, m.nics)),
        fw_cfg=tuple((name, _NOWHERE) for name, _ in m.fw_cfg),
        strings=tuple(_NOWHERE for _ in m.strings),
        clock="",
    )
    return hashlib.sha256("\0".join(command(neutral, tools)).encode(errors="surrogateescape")).hexdigest()


def _neutral(nic: Nic) -> Nic:
    match nic.net:
        case WayOut(_, services, _):
            silent = tuple(replace(service, command=()) for service in services)
            return replace(nic, net=replace(nic.net, forwards=(), services=silent))
        case SwitchPort():
            return replace(nic, net=SwitchPort(_NOWHERE))
