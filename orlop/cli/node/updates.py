"""`orlop node status`, `update`, `rollback`, `hold`, `unhold`, `denylist`: a machine's updates, from outside.

Each runs the machine's own command, whose words and errors come back. A folder that is updated from is of this
computer: it is served to the machine while that takes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from orlop.cli.lab.command import AsJson, Timeout
from orlop.cli.lab.name import Name
from orlop.cli.node.reach import Key, MachineName, Reached, reach
from orlop.cli.session import steps
from orlop.errors import BadInput, OrlopError
from orlop.model.release.index import indexed
from orlop.model.update import status as documents
from orlop.model.words.version import Version
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


def status(node: MachineName, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """What runs, what is in the other slot, and why the machine does or does not update."""
    document = _status(reach(node, name, key))
    print(json.dumps(document, indent=2) if as_json else "\n".join(documents.lines(document)))


def _status(machine: Reached) -> documents.Document:
    return documents.parse(machine.ask("status", "--json"), f"what {machine.name} says of its updates")


def update(
    ctx: typer.Context,
    node: MachineName,
    to: To = None,
    place: From = "",
    unsigned: Unsigned = False,
    no_reboot: NoReboot = False,
    name: Name = None,
    key: Key = None,
    timeout: Timeout = 600,
) -> None:
    """Bring a machine to another version now, and wait until that has proven itself."""
    machine = reach(node, name, key)
    version = str(Version.parse(to)) if to else ""
    if place and "://" not in place:
        _must_be_folder(place)
        version = version or _newest(Path(place))
    with _served(machine, place) as url:
        words = [*(["--to", version] if version else []), *(["--from", url] if url else [])]
        words += [*(["--allow-unsigned"] if unsigned else []), *(["--no-reboot"] if no_reboot else [])]
        since = machine.moment()
        answer = machine.ask("update", "--no-wait", *words).strip()
        going = answer.removeprefix("going to ")
        if going == answer:
            print(answer)
            return
        with steps(ctx).step(f"Updating {node} to {going}"):
            _follow(machine, going, steps(ctx))
        if not no_reboot:
            with steps(ctx).step(f"Rebooting {node}"):
                verdict = machine.wait_verdict(since, steps(ctx), timeout)
            if verdict.version != going:
                raise OrlopError(f"{node} came up in {verdict.version}", hint=f"orlop node status {node}")
    print(f"{node} runs {going}" if not no_reboot else f"{going} is staged on {node}; the next boot starts it")


def _must_be_folder(place: str) -> None:
    if not Path(place).is_dir():
        raise BadInput(f"there is no folder {place}", hint="name a repository's or an image's folder, or a URL")


def _newest(folder: Path) -> str:
    """The image in the folder: of an image folder the one that it is, of a repository none by itself."""
    versions = [version for path in folder.glob("*") if (version := indexed(path.name))]
    if not versions:
        raise BadInput(f"{folder} does not hold an image, so a version must be named", hint="add --to VERSION")
    return str(max(versions))


@contextmanager
def _served(machine: Reached, place: str) -> Iterator[str]:
    """An address as the machine reaches it."""
    if not place or "://" in place:
        yield place
        return
    with machine.served(Path(place)) as url:
        yield url


def _follow(machine: Reached, version: str, log: Steps) -> None:
    """Until the version is staged. Raises OrlopError when the machine gave it up, or has to wait."""
    shown = ""
    while True:
        try:
            status = _status(machine)
        except OrlopError:
            if machine.has_gone() or shown:  # it goes down: the reboot is under way
                return
            raise
        state = status["state"]
        if not documents.under_way(status, version):
            break
        if status["failures"]:
            raise OrlopError(status["failure"], hint="it tries again by itself: orlop node status")
        line = documents.headline(status)
        if line and line != shown:
            log.note(line)
            shown = line
        time.sleep(LOOK_SECONDS)
    if state.get("version") != version or state["is"] not in ("staged", "rebooting", "booted", "healthy", "blessed"):
        runs = any(slot["running"] and slot["version"] == version for slot in status["slots"])
        if not runs:
            raise OrlopError(f"{version} was not staged: {status['reason']}", hint=f"orlop node status {machine.name}")


def rollback(ctx: typer.Context, node: MachineName, name: Name = None, key: Key = None, timeout: Timeout = 600) -> None:
    """Start the version in the other slot again, and do not come back to this one by itself."""
    machine = reach(node, name, key)
    since = machine.moment()
    with steps(ctx).step(f"Rolling {node} back"):
        machine.ask("rollback")
        verdict = machine.wait_verdict(since, steps(ctx), timeout)
    print(f"{node} runs {verdict.version}")


def hold(node: MachineName, reason: Annotated[str, typer.Argument()] = "", name: Name = None, key: Key = None) -> None:
    """Do not update, until `unhold`."""
    print(reach(node, name, key).ask("hold", *([reason] if reason else [])), end="")


def unhold(node: MachineName, name: Name = None, key: Key = None) -> None:
    """Update again."""
    print(reach(node, name, key).ask("unhold"), end="")


def denylist(
    node: MachineName,
    allow: Annotated[str | None, typer.Option("--allow", metavar="VERSION", help="Let it be tried again.")] = None,
    name: Name = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """The versions that failed on a machine, and why."""
    words = [*(["--allow", str(Version.parse(allow))] if allow else []), *(["--json"] if as_json else [])]
    print(reach(node, name, key).ask("denylist", *words), end="")
