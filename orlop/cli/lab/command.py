"""`orlop lab`: whole machines on this computer.

Without --name the commands mean the one lab there is, or the one called "default".
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orlop.cli.lab import logs as lab_logs
from orlop.cli.lab import machineconfig
from orlop.cli.lab import push as lab_push
from orlop.cli.lab import saved as lab_saved
from orlop.cli.lab.name import Name, open_lab, to_remove
from orlop.cli.session import steps, workspace
from orlop.errors import BadInput, OrlopError
from orlop.lab import cluster, images, lab, wait
from orlop.lab.cluster import LabCluster
from orlop.lab.conditions import Conditions, Uplink
from orlop.lab.machine import Node
from orlop.lab.paths import DEFAULT_LAB
from orlop.lab.plan import LabPlan
from orlop.lab.report import LabReport, describe, lines
from orlop.lab.source import Given, LabSource, Way
from orlop.machines import ports, terminal
from orlop.machines.kind import MachineKind
from orlop.workspace import Workspace

app = typer.Typer(help="Whole machines on this computer.", no_args_is_help=True)
app.command()(lab_saved.save)
app.command()(lab_logs.logs)
app.add_typer(lab_saved.app, name="saved")

SSH_FAILED = 255
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="n1, n2, …")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for each boot's verdict.", min=1)]
ConfigSource = Annotated[Way, typer.Option("--config-source", help="By which way the machines are given it.")]
FilesDir = Annotated[
    Path | None, typer.Option("--files-dir", "-d", help="Folder that `local:` paths are relative to.", metavar="DIR")
]


@app.command()
def up(  # noqa: PLR0913, PLR0917 — one parameter, one option
    ctx: typer.Context,
    nodes: Annotated[int | None, typer.Option("--nodes", help="How many machines; default: 1.")] = None,
    kind: Annotated[
        MachineKind,
        typer.Option("--kind", help="vm: whole machines; container: the same image in containers, in seconds (root)."),
    ] = MachineKind.VM,
    vms: Annotated[int | None, typer.Option("--vms", help="So many whole machines, and…")] = None,
    containers: Annotated[int | None, typer.Option("--containers", help="…so many containers, on one network.")] = None,
    servers: Annotated[
        int | None, typer.Option("--servers", help="Make a cluster: so many machines are servers of it, and…")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="…so many are workers.")] = None,
    name: Annotated[str, typer.Option("--name", help="What to call the lab.")] = DEFAULT_LAB,
    image: Annotated[
        str | None, typer.Option("--image", help="A version, an image folder or a disk image; default: the newest.")
    ] = None,
    cpus: Annotated[int, typer.Option("--cpus", help="Virtual CPUs of each machine.")] = 2,
    memory: Annotated[int, typer.Option("--memory", help="MiB for each machine.")] = 2048,
    disk: Annotated[int, typer.Option("--disk", help="GiB for each machine; taken only as it is filled.")] = 12,
    data_disk: Annotated[
        list[int] | None,
        typer.Option("--data-disk", help="MiB of a further, empty disk; may be repeated."),
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
    nic: Annotated[Uplink, typer.Option("--nic", help="What the machines' network cards meet.")] = Uplink.DHCP,
    ipv6_only: Annotated[bool, typer.Option("--ipv6-only", help="Networks without IPv4.")] = False,
    slow_disk: Annotated[bool, typer.Option("--slow-disk", help="Disks as slow as a worn SD card.")] = False,
    sector: Annotated[int, typer.Option("--sector", help="Bytes of a sector of each --data-disk: 512 or 4096.")] = 512,
    disk_gone: Annotated[
        bool, typer.Option("--disk-gone", help="The first --data-disk is there at the first power-on only.")
    ] = False,
    clock: Annotated[
        str,
        typer.Option("--clock", help="What the hardware's clock says: a date, or how far it is off.", metavar="WHEN"),
    ] = "",
    saved: Annotated[
        str | None, typer.Option("--saved", help="Restore this saved lab instead: with --name and --publish alone.")
    ] = None,
    timeout: Timeout = 600,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Leave a lab that does not come up.")] = False,
) -> None:
    """Make a lab and wait until every machine in it judged its boot good."""
    if saved:
        _print([describe(lab_saved.restore(ctx, saved, name, publish or (), timeout))])
        return
    ws = workspace()
    made_of = _cluster(name, servers, workers, nodes, config)
    total, of_them = _counts(kind, len(made_of.given) if made_of else nodes, vms, containers)
    plan = LabPlan(
        image=images.resolve(ws, image),
        name=name,
        nodes=total,
        containers=of_them,
        cpus=cpus,
        memory_mib=memory,
        disk_gib=disk,
        publish=tuple(ports.parse(p) for p in publish or ()),
        demo=demo,
        data_disks_mib=tuple(data_disk or ()),
        conditions=Conditions(nic, ipv6_only, slow_disk, sector, disk_gone, clock),
        given=made_of.given if made_of else (_given(config, config_source, files_dir),) if config else (),
        cluster=made_of,
    )
    the_lab = lab.bring_up(ws, steps(ctx), plan, timeout=timeout, keep_failed=keep_failed)
    _print([describe(the_lab)])


def _cluster(
    name: str, servers: int | None, workers: int | None, nodes: int | None, config: str | None
) -> LabCluster | None:
    """What --servers and --workers ask for."""
    if servers is None and workers is None:
        return None
    if nodes is not None or config:
        raise BadInput(
            "--servers and --workers say how many machines there are, and give each its configuration",
            hint="leave --nodes and --config out",
        )
    return cluster.plan(name, servers or 0, workers or 0)


def _counts(kind: MachineKind, nodes: int | None, vms: int | None, containers: int | None) -> tuple[int, int]:
    """How many machines, and how many of them are containers."""
    if vms is None and containers is None:
        total = 1 if nodes is None else nodes
        return total, total if kind is MachineKind.CONTAINER else 0
    if nodes is not None or kind is not MachineKind.VM:
        raise BadInput(
            "--vms and --containers say how many machines of which kind; --nodes and --kind say it too",
            hint="give one pair or the other",
        )
    return (vms or 0) + (containers or 0), containers or 0


def _given(file: str, way: Way, files_dir: Path | None) -> Given:
    if way is Way.URL and file.startswith(("http://", "https://")):
        return Given(LabSource(way, file), b"")
    return Given(LabSource(way), machineconfig.read(file, files_dir))


@app.command()
def down(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option("--name", help="Which lab; default: 'default'.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every lab.")] = False,
) -> None:
    """Stop a lab and remove everything of it, however broken it is."""
    ws = workspace()
    for each in to_remove(ws, name, every=every):
        with steps(ctx).step(f"Removing lab {each}"):
            lab.down(ws, each)


@app.command("list")
def list_labs(as_json: AsJson = False) -> None:
    """Every lab: its name, image and nodes."""
    reports = _describe_all(workspace())
    if as_json:
        short = [{"name": r.name, "version": r.version, "trouble": r.trouble} for r in reports]
        print(json.dumps([{**s, "nodes": [n.name for n in r.nodes]} for s, r in zip(short, reports, strict=True)]))
        return
    for report in reports:
        nodes = " ".join(node.name for node in report.nodes)
        print(f"{report.name:<16} {report.version or '-':<14} {report.trouble or nodes}")


@app.command()
def status(name: Name = None, as_json: AsJson = False) -> None:
    """What each machine is doing, and how to reach it. All labs, or the one named."""
    ws = workspace()
    reports = [describe(lab.open_lab(ws, name))] if name else _describe_all(ws)
    if as_json:
        print(json.dumps([asdict(report) for report in reports], indent=1))
    else:
        _print(reports)


@app.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def execute(
    node: NodeName,
    command: Annotated[list[str] | None, typer.Argument(help="The command, after `--`; none: a shell.")] = None,
    name: Name = None,
) -> None:
    """Run a command on a machine as root, word for word. Its input, output and exit status are passed through."""
    words, name = _command(command or [], name)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    machine = open_lab(name).node(node)
    code = subprocess.call(machine.argv(words, tty=interactive))
    if code == SSH_FAILED and machine.state().kind is MachineKind.VM:
        print(f"hint: 255 is ssh's own: `orlop lab logs {node}` shows what the machine is doing", file=sys.stderr)
    raise typer.Exit(code if code >= 0 else 128 - code)


def _command(words: list[str], name: str | None) -> tuple[list[str], str | None]:
    """The command, and the lab's name: --name counts behind NODE as well, where all else is the command's."""
    match words:
        case ["--name", given, *rest]:
            words, name = rest, given
        case [first, *rest] if first.startswith("--name="):
            words, name = rest, first.removeprefix("--name=")
    return words[1:] if words[:1] == ["--"] else words, name


@app.command()
def console(node: NodeName, name: Name = None) -> None:
    """Sit at a machine's serial console; Ctrl-] leaves it."""
    machine = open_lab(name).node(node)
    print(f"console of {node}; Ctrl-] leaves", file=sys.stderr)
    terminal.attach(machine.at.console)


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
    when = "boots again" if machine.reconfigure(_given(config, way, files_dir)) else "is powered on again"
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


@app.command(help=lab_push.HELP)
def push(
    ctx: typer.Context,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="NODE…", help="Which; default: all that run.")] = None,
    name: Name = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    lab_push.push(open_lab(name), steps(ctx), nodes or (), dry_run=dry_run, as_json=as_json)


def _describe_all(ws: Workspace) -> list[LabReport]:
    lab.settle(ws)
    reports = []
    for each in lab.names(ws):
        try:
            reports.append(describe(lab.open_lab(ws, each)))
        except OrlopError as e:
            reports.append(LabReport(name=each, trouble=f"{e.message} ({e.hint})"))
    return reports


def _print(reports: list[LabReport]) -> None:
    for report in reports:
        print("\n".join(lines(report)))
