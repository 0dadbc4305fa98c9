"""`orlop node status`, `update`, `rollback`, `hold`, `unhold`, `denylist`: a lab machine's updates, from outside.

Each runs the machine's own command, whose words and errors come back. A folder that is updated from is of this
computer: it is served to the machine while that takes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from orlop.cli.lab import AsJson, Name, NodeName, Timeout, open_lab
from orlop.cli.machine import ask
from orlop.cli.session import steps
from orlop.control.releases.serve import server
from orlop.errors import BadInput, OrlopError
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.lab.ports import LOOPBACK
from orlop.lab.wait import wait_verdict
from orlop.model import status as documents
from orlop.model.version import Version
from orlop.steps import Steps

LOOK_SECONDS = 1.0

To = Annotated[
    str | None, typer.Option("--to", metavar="VERSION", help="This version; the newest it may have if not given.")
]
From = Annotated[
    str, typer.Option("--from", metavar="URL|DIR", help="A repository (or a bare image) that is not its own.")
]
Unsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="--from is a bare image that nobody signed (development).")
]
NoReboot = Annotated[bool, typer.Option("--no-reboot", help="Only stage it; somebody reboots the machine later.")]


def add_to(app: typer.Typer) -> None:
    for command in (status, update, rollback, hold, unhold, denylist):
        app.command()(command)


def status(node: NodeName, name: Name = None, as_json: AsJson = False) -> None:
    """What runs, what is in the other slot, and why the machine does or does not update."""
    found = _status(open_lab(name).node(node))
    print(json.dumps(found, indent=2) if as_json else "\n".join(documents.lines(found)))


def _status(machine: Node) -> documents.Document:
    return documents.parse(ask(machine, "status", "--json"), f"what {machine.name} says of its updates")


def update(
    ctx: typer.Context,
    node: NodeName,
    to: To = None,
    place: From = "",
    unsigned: Unsigned = False,
    no_reboot: NoReboot = False,
    name: Name = None,
    timeout: Timeout = 600,
) -> None:
    """Bring a machine to another version now, and wait until that has proven itself."""
    machine = open_lab(name).node(node)
    version = str(Version.parse(to)) if to else ""
    if place and not version and "://" not in place:
        version = _newest(Path(place))
    with _served(place) as url:
        words = [*(["--to", version] if version else []), *(["--from", url] if url else [])]
        words += [*(["--allow-unsigned"] if unsigned else []), *(["--no-reboot"] if no_reboot else [])]
        start = machine.console_size()
        said = ask(machine, "update", "--no-wait", *words).strip()
        going = said.removeprefix("going to ")
        if going == said:
            print(said)
            return
        with steps(ctx).step(f"Updating {node} to {going}"):
            _follow(machine, going, steps(ctx))
        if not no_reboot:
            with steps(ctx).step(f"Rebooting {node}"):
                verdict = wait_verdict(machine, steps(ctx), timeout=timeout, start=start)
            if verdict.version != going:
                raise OrlopError(f"{node} came up in {verdict.version}", hint=f"orlop node status {node}")
    print(f"{node} runs {going}" if not no_reboot else f"{going} is staged on {node}; the next boot starts it")


def _newest(folder: Path) -> str:
    """The image in the folder: of an image folder the one that it is, of a repository none by itself."""
    found = [path.name.removeprefix("orlop_").removesuffix(".index.json") for path in folder.glob("orlop_*.index.json")]
    if not found:
        raise BadInput(f"{folder} is no folder of an image, so a version must be named", hint="add --to VERSION")
    return str(max(map(Version.parse, found)))


@contextmanager
def _served(place: str) -> Iterator[str]:
    """An address as the machine reaches it."""
    if not place or "://" in place:
        yield place
        return
    if not Path(place).is_dir():
        raise BadInput(f"there is no folder {place}", hint="name a repository's or an image's folder, or a URL")
    httpd = server(Path(place), LOOPBACK, 0, whole=True, quiet=True)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST_FROM_NODE}:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def _follow(machine: Node, version: str, log: Steps) -> None:
    """Until the version is staged. Raises OrlopError when the machine gave it up, or has to wait."""
    shown = ""
    while True:
        try:
            found = _status(machine)
        except OrlopError:
            if not machine.running or shown:  # it goes down: the reboot is under way
                return
            raise
        state = found["state"]
        if not documents.under_way(found, version):
            break
        if found["failures"]:
            raise OrlopError(found["failure"], hint="it tries again by itself: orlop node status")
        line = documents.progress_text(found)
        if line and line != shown:
            log.note(line)
            shown = line
        time.sleep(LOOK_SECONDS)
    if state.get("version") != version or state["is"] not in ("staged", "rebooting", "booted", "healthy", "blessed"):
        runs = any(slot["running"] and slot["version"] == version for slot in found["slots"])
        if not runs:
            raise OrlopError(f"{version} was not staged: {found['reason']}", hint=f"orlop node status {machine.name}")


def rollback(ctx: typer.Context, node: NodeName, name: Name = None, timeout: Timeout = 600) -> None:
    """Start the version in the other slot again, and do not come back to this one by itself."""
    machine = open_lab(name).node(node)
    start = machine.console_size()
    with steps(ctx).step(f"Rolling {node} back"):
        ask(machine, "rollback")
        verdict = wait_verdict(machine, steps(ctx), timeout=timeout, start=start)
    print(f"{node} runs {verdict.version}")


def hold(node: NodeName, reason: Annotated[str, typer.Argument()] = "", name: Name = None) -> None:
    """Do not update, until `unhold`."""
    print(ask(open_lab(name).node(node), "hold", *([reason] if reason else [])), end="")


def unhold(node: NodeName, name: Name = None) -> None:
    """Update again."""
    print(ask(open_lab(name).node(node), "unhold"), end="")


def denylist(
    node: NodeName,
    allow: Annotated[str | None, typer.Option("--allow", metavar="VERSION", help="Let it be tried again.")] = None,
    name: Name = None,
    as_json: AsJson = False,
) -> None:
    """The versions that failed on a machine, and why."""
    words = [*(["--allow", str(Version.parse(allow))] if allow else []), *(["--json"] if as_json else [])]
    print(ask(open_lab(name).node(node), "denylist", *words), end="")
