"""What a lab and its machines are doing, as values that print and that become JSON."""

from __future__ import annotations

from dataclasses import dataclass

from orlop.lab import console
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.paths import Paths
from orlop.lab.pids import alive
from orlop.lab.qemu import private_ip
from orlop.lab.state import NodeState


@dataclass(frozen=True)
class NodeReport:
    """`power`: on or off; `boot`: good, bad, or the stage it was last seen in; `ports`: by port of the node.
    `source`: by which way it is given the user's configuration, or "".
    """

    name: str
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


@dataclass(frozen=True)
class LabReport:
    """`trouble` is set for a lab that cannot be read, and then the rest is empty."""

    name: str
    version: str = ""
    image: str = ""
    acceleration: str = ""
    why: str = ""
    created: int = 0
    demo: bool = False
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
        nodes=tuple(_node(lab.paths, node) for node in state.nodes),
    )


def _node(paths: Paths, node: NodeState) -> NodeReport:
    machine = Node(paths, node.name)
    is_on = alive(node.process)
    text = console.last_boot(machine.console_text())
    said = console.verdicts(text)
    stage = console.stage(text).name.lower()
    return NodeReport(
        name=node.name,
        power="on" if is_on else "off",
        boot="" if not is_on else stage if not said else "good" if said[-1].good else "bad",
        reason=said[-1].reason if said and is_on else "",
        network="cut" if node.cut else "plugged in",
        address=private_ip(node.index),
        ssh_port=node.ssh_port,
        ports={str(f.guest): f.host for f in node.forwards},
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        source=node.source.way.value if node.source else "",
        pid=node.process.pid if node.process and is_on else None,
        console=str(machine.at.console_log),
    )


def lines(report: LabReport) -> list[str]:
    """The report for a person."""
    if report.trouble:
        return [f"lab {report.name}: {report.trouble}"]
    head = f"lab {report.name}: image {report.version or report.image}, {report.acceleration} ({report.why})"
    rows = [("NODE", "POWER", "BOOT", "NETWORK", "ADDRESS", "SSH", "PORTS")]
    for n in report.nodes:
        ports = " ".join(f"{host}→{guest}" for guest, host in n.ports.items())
        boot = f"{n.boot}: {n.reason}" if n.reason else n.boot or "-"
        rows.append((n.name, n.power, boot, n.network, n.address, f"127.0.0.1:{n.ssh_port}", ports))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [head, *("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)]
