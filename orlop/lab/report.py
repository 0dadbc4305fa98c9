"""What a lab and its machines are doing, as values that print and that become JSON."""

from __future__ import annotations

from dataclasses import dataclass

from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.paths import LabPaths
from orlop.lab.state import NodeState
from orlop.machines import console
from orlop.machines.pids import alive


@dataclass(frozen=True)
class NodeReport:
    """`power`: on or off; `boot`: good, bad, or the stage it was last seen in; `ports`: by port of the node.
    `source`: by which way it is given the user's configuration, or "". `modified`: in how many files it differs from
    its image since `orlop lab push`. `runs`: the version that gave the verdict, another one after an update.
    `conditions`: what is hard about its world. `is_forwarded`: whether ports of this computer lead to it.
    """

    name: str
    kind: str
    power: str
    boot: str
    reason: str
    network: str
    address: str
    ssh_port: int
    ports: dict[str, int]
    cpus: int
    memory_mib: int
    source: str
    pid: int | None
    console: str
    modified: int = 0
    runs: str = ""
    conditions: tuple[str, ...] = ()
    is_forwarded: bool = True


@dataclass(frozen=True)
class LabReport:
    """`saved`: what saved lab it was restored from, or "". `trouble` is set for a lab that cannot be read, and then the
    rest is empty.
    """

    name: str
    version: str = ""
    image: str = ""
    acceleration: str = ""
    why: str = ""
    created: int = 0
    demo: bool = False
    saved: str = ""
    nodes: tuple[NodeReport, ...] = ()
    trouble: str = ""


def describe(lab: Lab) -> LabReport:
    """Raises as `Lab.state`."""
    state = lab.state()
    return LabReport(
        name=state.name,
        version=state.version,
        image=state.image,
        acceleration=state.acceleration.name,
        why=state.acceleration.why,
        created=state.created,
        demo=state.demo,
        saved=state.saved,
        nodes=tuple(_node(lab.paths, node) for node in state.nodes),
    )


def _node(paths: LabPaths, node: NodeState) -> NodeReport:
    machine = Node(paths, node.name)
    is_on = alive(node.process)
    text = console.last_boot(machine.console_text())
    verdicts = console.verdicts(text)
    stage = console.stage(text).name.lower()
    return NodeReport(
        name=node.name,
        kind=node.kind.value,
        power="on" if is_on else "off",
        boot="" if not is_on else stage if not verdicts else "good" if verdicts[-1].good else "bad",
        reason=verdicts[-1].reason if verdicts and is_on else "",
        network="none" if not node.conditions.has_cards else "cut" if node.cut else "plugged in",
        address=machine.ip if node.conditions.has_cards else "",
        ssh_port=node.ssh_port,
        ports={str(f.guest): f.host for f in node.forwards},
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        source=node.source.way.value if node.source else "",
        pid=node.process.pid if node.process and is_on else None,
        console=str(machine.at.console_log),
        modified=console.modified(text) if is_on else 0,
        runs=verdicts[-1].version if verdicts and is_on else "",
        conditions=tuple(node.conditions.words()),
        is_forwarded=node.conditions.has_ipv4,
    )


def lines(report: LabReport) -> list[str]:
    """The report for a person."""
    if report.trouble:
        return [f"lab {report.name}: {report.trouble}"]
    head = f"lab {report.name}: image {report.version or report.image}, {report.acceleration} ({report.why})"
    head += f", restored from {report.saved}" if report.saved else ""
    rows = [("NODE", "KIND", "POWER", "BOOT", "NETWORK", "ADDRESS", "SSH", "PORTS")]
    for n in report.nodes:
        ports = " ".join(f"{host}→{guest}" for guest, host in n.ports.items())
        boot = f"{n.boot}: {n.reason}" if n.reason else n.boot or "-"
        if n.runs and n.runs != report.version:
            boot += f" (runs {n.runs})"
        if n.modified:
            boot += f" (modified: {n.modified} file{'s' if n.modified > 1 else ''})"
        kind = ", ".join((n.kind, *n.conditions))
        ssh = f"127.0.0.1:{n.ssh_port}" if n.is_forwarded else "-"
        rows.append((n.name, kind, n.power, boot, n.network, n.address or "-", ssh, ports if n.is_forwarded else "-"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [head, *("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)]
