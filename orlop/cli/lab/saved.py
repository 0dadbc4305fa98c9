"""`orlop lab save`, `up --saved`, `saved`: labs kept with all that their machines are doing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from orlop.cli.lab.name import Name, named
from orlop.cli.session import steps, workspace
from orlop.errors import BadInput, OrlopError
from orlop.lab import images, lab
from orlop.lab.lab import Lab
from orlop.lab.saved import store
from orlop.machines import ports
from orlop.workspace import Workspace

app = typer.Typer(help="The saved labs; without a command: list them.", invoke_without_command=True)

SavedName = Annotated[str, typer.Argument(metavar="SAVED", help="What the saved lab is called.")]
# of `up`, what a saved lab leaves open; the rest is as it was when it was saved
_OPEN = {"saved", "name", "image", "publish", "timeout"}


def save(
    ctx: typer.Context,
    saved: SavedName,
    name: Name = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait until the machines, which go on, answer.", min=1)
    ] = 120,
) -> None:
    """Keep a lab as it is at this moment: memory, disks and firmware variables of its machines. It goes on running.

    Container machines have no memory to keep: they are powered off in order, their /var is copied, and they start
    again.
    """
    ws, log = workspace(), steps(ctx)
    lab.save(ws, log, named(ws, name), saved, timeout=timeout)
    log.note(f"`orlop lab up --saved {saved} --name OTHER` restores it, `orlop lab saved rm {saved}` removes it")


def restore(ctx: typer.Context, saved: str, name: str, publish: Sequence[str], timeout: float) -> Lab:
    """What `up --saved` does."""
    ws = workspace()
    given = [p for p in ctx.params if (source := ctx.get_parameter_source(p)) and source.name == "COMMANDLINE"]
    if fixed := sorted(set(given) - _OPEN):
        raise BadInput(
            f"--{fixed[0].replace('_', '-')} cannot be given with --saved: its machines are as they were saved",
            hint="--name and --publish may be given",
        )
    if image := ctx.params["image"]:
        _refuse_other_image(ws, saved, image)
    return lab.restore(ws, steps(ctx), saved, name=name, publish=[ports.parse(p) for p in publish], timeout=timeout)


def _refuse_other_image(ws: Workspace, saved: str, given: str) -> None:
    record = store.read(ws, saved)
    if store.fingerprint(images.resolve(ws, given).raw) != record.disk:
        raise BadInput(
            f"the saved lab {saved!r} is of image {record.lab.version or record.lab.image}, not of {given}",
            hint="leave --image out, or boot that image and save the lab: its memory belongs to the one it booted",
        )


@dataclass(frozen=True)
class SavedReport:
    """A saved lab as it is listed. `bytes`: what would be free without it. `trouble` is set when it is damaged."""

    name: str
    lab: str = ""
    version: str = ""
    nodes: tuple[str, ...] = ()
    saved: int = 0
    bytes: int = 0
    trouble: str = ""


@app.callback()
def list_saved(ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The saved labs; without a command: list them."""
    if ctx.invoked_subcommand:
        return
    ws = workspace()
    lab.settle(ws)
    reports = [_report(ws, name) for name in store.names(ws)]
    if as_json:
        print(json.dumps([asdict(report) for report in reports], indent=1))
        return
    for r in reports:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(r.saved))
        about = f"{r.version or '-':<14} {when}  {r.bytes / 1e6:6.0f} MB  {' '.join(r.nodes)}"
        print(f"{r.name:<16} {r.trouble or about}")


@app.command("rm")
def remove(ctx: typer.Context, saved: SavedName) -> None:
    """Remove a saved lab, however damaged. Labs that were restored from it go on."""
    lab.remove_saved(workspace(), saved)
    steps(ctx).note(f"{saved} is removed")


def _report(ws: Workspace, name: str) -> SavedReport:
    try:
        record = store.read(ws, name)
        store.check(ws, record, name)
    except OrlopError as e:
        return SavedReport(name, bytes=store.size(ws, name), trouble=f"{e.message} ({e.hint})")
    nodes = tuple(node.name for node in record.lab.nodes)
    return SavedReport(name, record.lab.name, record.lab.version, nodes, record.saved, store.size(ws, name))
