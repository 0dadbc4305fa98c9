"""The whole machines of a lab: from the lab's record to a machine, and back into the record what became of it.

What `machine.Node` asks of a kind of machine: made, started, its power taken, its links plugged, commands reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orlop.errors import BadInput, Busy
from orlop.lab import source
from orlop.lab import state as records
from orlop.lab.conditions import Uplink
from orlop.lab.delivery import prepare
from orlop.lab.demo import MEDIA_SERIAL
from orlop.lab.identity import mac, uuid_of
from orlop.lab.paths import LabPaths
from orlop.lab.source import LabSource
from orlop.lab.state import LabState, NodeState
from orlop.machines import ssh, vm
from orlop.machines.paths import MachinePaths
from orlop.machines.pids import kill
from orlop.machines.ports import Forward
from orlop.machines.qemu import Drive, Nic, SwitchPort, WayOut, WholeMachine

SLOW = (150, 10_000_000)  # operations and bytes in a second: a hard disk that seeks, a worn SD card
said = vm.said


def make(paths: LabPaths, node: NodeState, base: Path, disk_gib: int, data_disks_mib: Sequence[int]) -> None:
    """What a machine needs before it is first powered on: firmware variables and disks."""
    at = paths.node(node.name)
    vm.make_firmware(paths.tools, at)
    vm.make_disk(paths.tools, base, at.disk, disk_gib)
    for number, mib in enumerate(data_disks_mib, 1):
        vm.make_empty_disk(paths.tools, at.data_disk(number), mib)


def launch(paths: LabPaths, lab: LabState, node: NodeState) -> LabState:
    """Start QEMU for a node and record it. Raises CommandFailed with what QEMU said."""
    at = paths.node(node.name)
    prepare(paths.tools, at, node.source, Path(lab.image))
    start = at.console_log.stat().st_size if at.console_log.exists() else 0
    lab = begin(paths, lab, replace(node, boots=(*node.boots, start)))
    if node.cut:
        plug(paths, lab, node, up=False)
    return lab


def begin(paths: LabPaths, lab: LabState, node: NodeState, *more: str) -> LabState:
    """Start QEMU with `more` on its command line and record it. Raises CommandFailed with what QEMU said."""
    process = vm.start(paths.tools, described(paths, lab, node), more, binds=[Path(lab.image).parent])
    lab = lab.with_node(replace(node, process=process))
    records.write(paths, lab)
    return lab


def end(paths: LabPaths, node: NodeState) -> bool:  # noqa: ARG001 — as every kind
    """Take its power. False when it does not end."""
    return node.process is None or kill(node.process)


def plug(paths: LabPaths, lab: LabState, node: NodeState, *, up: bool) -> None:
    """Plug the links of a machine that runs in or out."""
    plugs = [nic.plug for nic in described(paths, lab, node).nics]
    vm.set_links(paths.node(node.name), plugs, up=up)


def argv(paths: LabPaths, node: NodeState, remote: Sequence[str], *, tty: bool, extra: Sequence[str] = ()) -> list[str]:
    """The command line that runs `remote` there. Raises Busy when the machine is cut off, BadInput when no command can
    reach it.
    """
    if not node.conditions.has_ipv4:
        why = "QEMU forwards IPv4 alone" if node.conditions.has_cards else "it has no network card"
        raise BadInput(
            f"commands do not reach {node.name}: {why}",
            hint=f"`orlop lab logs {node.name}` shows what it says, `orlop lab console {node.name}` sits down at it",
        )
    if node.cut:
        raise Busy(
            f"{node.name} is cut off from its network, and commands reach it over the network",
            hint=f"`orlop lab heal {node.name}` first; `orlop lab console {node.name}` works without a network",
        )
    return ssh.command(paths.tools, paths.login, node.name, node.ssh_port, remote, tty=tty, extra=extra)


def is_boot_enough(before: LabSource | None, after: LabSource) -> bool:
    """Whether a machine that runs gets a changed configuration by booting again, without being powered off."""
    return after == before and after.is_served


def described(paths: LabPaths, lab: LabState, node: NodeState) -> WholeMachine:
    """The machine as QEMU is told it."""
    at = paths.node(node.name)
    return WholeMachine(
        name=f"{lab.name}/{node.name}",
        uuid=uuid_of(Path(lab.born or paths.folder), node.name),
        at=at,
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        accelerator=lab.acceleration.name,
        drives=_drives(paths, at, node),
        nics=_nics(paths, lab, node),
        fw_cfg=source.fw_cfg(node.source, at),
        tables=source.tables(node.source),
        strings=source.strings(node.source, at),
        clock=node.conditions.clock_at(datetime.now(UTC)),
    )


def _drives(paths: LabPaths, at: MachinePaths, node: NodeState) -> tuple[Drive, ...]:
    log = at.write_log if at.write_log.exists() else None
    most, sector = (SLOW if node.conditions.is_disk_slow else None), node.conditions.sector
    # the list of boots holds the one that is beginning
    first = 2 if node.conditions.is_disk_gone and len(node.boots) > 1 else 1
    data = [
        Drive(f"data{n}", at.data_disk(n), f"data{n}", sector=sector, most=most)
        for n in range(first, node.data_disks + 1)
    ]
    media = [Drive("media", paths.media, MEDIA_SERIAL, is_raw=True)] if node.media else []
    system = Drive("disk", at.disk, "orlop-system", is_system=True, write_log=log, most=most)
    return (system, *data, *media, *source.drives(node.source, at))


def _nics(paths: LabPaths, lab: LabState, node: NodeState) -> tuple[Nic, ...]:
    if not node.conditions.has_cards:
        return ()
    at, root = paths.node(node.name), paths.ws.root
    out = WayOut((Forward(node.ssh_port, 22), *node.forwards), source.web_services(node.source, at, root))
    if node.conditions.is_ipv6_only:
        out = WayOut(options="ipv4=off,ipv6=on")
    nets: dict[str, WayOut | SwitchPort] = {"nic0": out, "nic1": SwitchPort(paths.switch)}
    if metadata := source.metadata_net(node.source, at, root):
        nets[source.METADATA_NIC] = metadata
    is_far = node.conditions.nic is Uplink.NO_DHCP
    return tuple(
        Nic(name, mac(lab.macs_of, node.index, n), net, is_far=is_far and name == "nic0")
        for n, (name, net) in enumerate(nets.items())
    )
