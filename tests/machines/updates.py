"""A machine that is updated, again and again, to releases of all kinds; and what to do and ask there.

It is the first of the three that are restored; what its health check is told lies in /var (`three.TOLD`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.errors import OrlopError
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.lab.standstill import Standstill
from orlop.machines import console
from orlop.machines.ports import LOOPBACK
from orlop.model.words.version import Version
from orlop.workspace import Workspace
from simulators.httpd import Vices, WebServer, serve
from tests.machines.machines import Machines
from tests.machines.three import three

LAB = "updates"
# a sealed /etc is opened as somebody with root would do it
UNSEAL = "mountpoint -q /etc && mount -o remount,bind,rw /etc"
WAIT_SECONDS = 600.0
# Asking for the status costs an emulated machine two seconds of processor time; systemd has the engine's line at once.
RESTS = """for n in $(seq 30); do
    case $(systemctl show -P StatusText orlop-update.service) in *"running $0"*) exit ;; esac
    sleep 1
done"""


@contextmanager
def updating(ws: Workspace, image: Path, name: str = LAB) -> Iterator[Machines]:
    """The machine, healthy; its console is looked through at the end."""
    with three(ws, image, name, on=1) as there:
        yield there


@dataclass(frozen=True)
class Served:
    """A release's folder on a web server: `url` as a node reaches it, `server` to look at and to spoil."""

    version: Version
    url: str
    server: WebServer


@contextmanager
def served(folder: Path, vices: Vices | None = None) -> Iterator[Served]:
    with serve(folder, vices) as server:
        yield Served(Version.parse(folder.name), server.url.replace(LOOPBACK, HOST_FROM_NODE), server)


def ask_for(node: Node, release: Served, *words: str) -> tuple[int, str]:
    """`orlop update` to the release; its exit status and what it said."""
    ran = node.run(
        *("orlop", "update", "--from", release.url, "--to", str(release.version), "--allow-unsigned", *words),
        timeout=WAIT_SECONDS,
    )
    return ran.code, ran.out + ran.err


def stage(node: Node, release: Served) -> dict[str, Any]:
    """Bring the release into the other slot, to where only the reboot is left. Gives the status."""
    code, said = ask_for(node, release, "--no-reboot")
    assert code == 0, said
    found = status(node)
    assert found["state"] == {"is": "staged"} | {k: v for k, v in found["state"].items() if k != "is"}, found
    assert slot(found, release.version)["tries_left"] == 3
    return found


def status(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("orlop status --json"))
    return found


def slot(found: dict[str, Any], version: Version) -> dict[str, Any]:
    """What the status says of the slot that holds this version."""
    there: list[dict[str, Any]] = [s for s in found["slots"] if s["version"] == str(version)]
    assert len(there) == 1, found["slots"]
    return there[0]


def last_try(node: Node, version: Version) -> None:
    """As if the staged version had been tried twice: a test that waits for it to fail waits a third of the time."""
    node.sh(f"cd /boot/EFI/Linux && mv orlop_{version}+3-0.efi orlop_{version}+1-2.efi && sync")


def reboot_to(node: Node, version: Version) -> str:
    """Reboot, and wait until the machine is well as this version, whatever comes in between; its console since."""
    start = node.console_size()
    node.run("systemctl", "reboot")
    return arrives(node, version, start)


def arrives(node: Node, version: Version, start: int) -> str:
    """Wait for a good verdict on this version, and for the update engine to be done with it."""
    until, still = time.monotonic() + WAIT_SECONDS, Standstill(node)
    while not any(v.good and v.version == str(version) for v in console.verdicts(node.console_text(start))):
        assert node.running, console.tail(node.console_text(start))
        assert time.monotonic() < until, f"{version} did not come up:\n{console.tail(node.console_text(start), 40)}"
        if still.why(node.console_text(start), time.monotonic()):
            still.cycle()
        time.sleep(0.5)
    node.wait_reached()
    found: dict[str, Any] = {}
    while time.monotonic() < until:
        with suppress(OrlopError, ValueError):
            node.run("sh", "-c", RESTS, str(version))
            found = status(node)
            if found["state"]["is"] == "idle" and slot(found, version)["blessed"]:
                return node.console_text(start)
        time.sleep(1.0)
    raise AssertionError(f"{version} is not settled: {found}")
