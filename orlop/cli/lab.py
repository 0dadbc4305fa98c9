"""`orlop lab`: whole machines on this computer.

Without --name the commands mean the one lab there is, or the one called "default".
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orlop.cli import machineconfig
from orlop.cli.session import steps, workspace
from orlop.errors import OrlopError
from orlop.lab import images, lab, ports, terminal, wait
from orlop.lab.lab import Lab, Plan
from orlop.lab.machine import Node
from orlop.lab.paths import DEFAULT_LAB
from orlop.lab.report import LabReport, describe, lines
from orlop.lab.source import Given, Source, Way
from orlop.workspace import Workspace

app = typer.Typer(help="Whole machines on this computer.", no_args_is_help=True)

SSH_FAILED = 255
Name = Annotated[str | None, typer.Option("--name", help="Which lab; default: the only one, else 'default'.")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="n1, n2, …")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for each boot's verdict.", min=1)]
ConfigSource = Annotated[Way, typer.Option("--config-source", help="By which way the machines are given it.")]
FilesDir = Annotated[
    Path | None, typer.Option("--files-dir", "-d", help="Folder that `local:` paths are relative to.", metavar="DIR")
]


def _name(ws: Workspace, given: str | None) -> str:
    if given is not None:
        return given
    there = lab.names(ws)
    return there[0] if len(there) == 1 else DEFAULT_LAB


def open_lab(name: str | None) -> Lab:
    """The lab that --name means. Raises Missing or BadInput."""
    ws = workspace()
    return lab.open_lab(ws, _name(ws, name))


@app.command()
def up(  # noqa: PLR0913, PLR0917 — one parameter, one option
    ctx: typer.Context,
    nodes: Annotated[int, typer.Option("--nodes", help="How many machines.")] = 1,
    name: Annotated[str, typer.Option("--name", help="What to call the lab.")] = DEFAULT_LAB,
    image: Annotated[
        str | None, typer.Option("--image", help="A version, an image folder or a disk image; default: the newest.")
    ] = None,
    cpus: Annotated[int, typer.Option("--cpus", help="Virtual CPUs of each machine.")] = 2,
    memory: Annotated[int, typer.Option("--memory", help="MiB for each machine.")] = 2048,
    disk: Annotated[int, typer.Option("--disk", help="GiB for each machine; taken only as it is filled.")] = 12,
    data_disk: Annotated[
        list[int] | None,
        typer.Option("--data-disk", help="MiB of a further, empty disk: /dev/disk/by-id/virtio-data1, …"),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(
            "--publish", help="HOST:GUEST, a TCP port of 127.0.0.1 that leads to n1; node k gets HOST+k-1, 0 picks one."
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Run the demo container on each machine.")] = False,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            help="The machines' configuration, Butane or Ignition; or, with --config-source url, its address.",
            metavar="FILE",
        ),
    ] = None,
    config_source: ConfigSource = Way.FW_CFG,
    files_dir: FilesDir = None,
    timeout: Timeout = 600,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Leave a lab that does not come up.")] = False,
) -> None:
    """Make a lab and wait until every machine in it judged its boot good."""
    ws = workspace()
    plan = Plan(
        image=images.resolve(ws, image),
        name=name,
        nodes=nodes,
        cpus=cpus,
        memory_mib=memory,
        disk_gib=disk,
        publish=tuple(ports.parse(p) for p in publish or ()),
        demo=demo,
        data_disks_mib=tuple(data_disk or ()),
        given=(_given(ctx, config, config_source, files_dir),) if config else (),
    )
    made = lab.bring_up(ws, steps(ctx), plan, timeout=timeout, keep_failed=keep_failed)
    _print([describe(made)])


def _given(ctx: typer.Context, file: str, way: Way, files_dir: Path | None) -> Given:
    if way is Way.URL and file.startswith(("http://", "https://")):
        return Given(Source(way, file), b"")
    return Given(Source(way), machineconfig.read(workspace(), steps(ctx), file, files_dir))


@app.command()
def down(
    ctx: typer.Context,
    name: Name = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab.")] = False,
) -> None:
    """Stop a lab and remove everything of it, however broken it is."""
    ws = workspace()
    for each in lab.names(ws) if every else [_name(ws, name)]:
        with steps(ctx).step(f"Removing lab {each}"):
            lab.down(ws, each)


@app.command("list")
def list_labs(as_json: AsJson = False) -> None:
    """Every lab: its name, image and nodes."""
    found = _describe_all(workspace())
    if as_json:
        short = [{"name": r.name, "version": r.version, "trouble": r.trouble} for r in found]
        print(json.dumps([{**s, "nodes": [n.name for n in r.nodes]} for s, r in zip(short, found, strict=True)]))
        return
    for report in found:
        nodes = " ".join(node.name for node in report.nodes)
        print(f"{report.name:<16} {report.version or '-':<14} {report.trouble or nodes}")


@app.command()
def status(name: Name = None, as_json: AsJson = False) -> None:
    """What each machine is doing, and how to reach it. All labs, or the one named."""
    ws = workspace()
    found = [describe(lab.open_lab(ws, name))] if name else _describe_all(ws)
    if as_json:
        print(json.dumps([asdict(report) for report in found], indent=1))
    else:
        _print(found)


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    node: NodeName,
    command: Annotated[list[str] | None, typer.Argument(help="The command, after `--`; none: a shell.")] = None,
    name: Name = None,
) -> None:
    """Run a command on a machine as root, word for word. Its input, output and exit status are passed through."""
    words = command[1:] if command and command[0] == "--" else command or []
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    code = subprocess.call(open_lab(name).node(node).argv(words, tty=interactive))
    if code == SSH_FAILED:
        print(f"hint: 255 is ssh's own: `orlop lab logs {node}` shows what the machine is doing", file=sys.stderr)
    raise typer.Exit(code if code >= 0 else 128 - code)


@app.command()
def console(node: NodeName, name: Name = None) -> None:
    """Sit at a machine's serial console; Ctrl-] leaves it."""
    machine = open_lab(name).node(node)
    print(f"console of {node}; Ctrl-] leaves", file=sys.stderr)
    terminal.attach(machine.at.console)


@app.command()
def logs(
    node: NodeName,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it is written, until Ctrl-C.")] = False,
    name: Name = None,
) -> None:
    """Print a machine's serial console since it was made."""
    path = open_lab(name).node(node).at.console_log
    try:
        _copy_log(path, follow)
    except KeyboardInterrupt:
        return


def _copy_log(path: Path, follow: bool) -> None:
    out = sys.stdout.buffer
    with path.open("rb") as f:
        while True:
            data = f.read(65536)
            out.write(data)
            out.flush()
            if not data:
                if not follow or not path.exists():
                    return
                time.sleep(0.2)


@app.command("power-cut")
def power_cut(ctx: typer.Context, node: NodeName, name: Name = None) -> None:
    """Take a machine's power away without warning."""
    open_lab(name).node(node).power_cut()
    steps(ctx).note(f"{node} is off; `orlop lab start {node}` starts it")


@app.command()
def cut(ctx: typer.Context, node: NodeName, name: Name = None) -> None:
    """Unplug a machine's network, all of it."""
    open_lab(name).node(node).cut()
    steps(ctx).note(f"{node} is cut off; `orlop lab heal {node}` plugs it in again")


@app.command()
def heal(ctx: typer.Context, node: NodeName, name: Name = None) -> None:
    """Plug a machine's network in again."""
    open_lab(name).node(node).heal()
    steps(ctx).note(f"{node} is plugged in")


@app.command()
def reconfigure(
    ctx: typer.Context,
    node: NodeName,
    config: Annotated[str, typer.Option("--config", help="Butane or Ignition.", metavar="FILE")],
    config_source: Annotated[
        Way | None, typer.Option("--config-source", help="Another way to give it; default: as before.")
    ] = None,
    files_dir: FilesDir = None,
    name: Name = None,
) -> None:
    """Replace a machine's configuration; it counts from the machine's next boot, or when it is next powered on."""
    machine = open_lab(name).node(node)
    before = machine.state().source
    way = config_source or (before.way if before else Way.FW_CFG)
    when = "boots again" if machine.reconfigure(_given(ctx, config, way, files_dir)) else "is powered on again"
    steps(ctx).note(f"{node} takes it when it {when}: `orlop lab restart {node}`")


@app.command()
def start(ctx: typer.Context, node: NodeName, name: Name = None, timeout: Timeout = 600) -> None:
    """Start a machine that is off, from the disk it left, and wait for its verdict."""
    machine: Node = open_lab(name).node(node)
    with steps(ctx).step(f"Starting {node}"):
        machine.start()
        wait.wait_verdict(machine, steps(ctx), timeout=timeout)


@app.command()
def restart(ctx: typer.Context, node: NodeName, name: Name = None, timeout: Timeout = 600) -> None:
    """Shut a machine down, power it on again and wait for its verdict."""
    with steps(ctx).step(f"Restarting {node}"):
        wait.restart(open_lab(name).node(node), steps(ctx), timeout=timeout)


def _describe_all(ws: Workspace) -> list[LabReport]:
    found = []
    for each in lab.names(ws):
        try:
            found.append(describe(lab.open_lab(ws, each)))
        except OrlopError as e:
            found.append(LabReport(name=each, trouble=f"{e.message} ({e.hint})"))
    return found


def _print(reports: list[LabReport]) -> None:
    for report in reports:
        print("\n".join(lines(report)))
