"""One node: its power, its network, its console, commands on it.

A `Node` holds no state but where to look: each question reads lab.json and the console log anew, each change is made
under the lab lock. So several processes may hold one at the same time, and it stays right when a machine dies on its
own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from orlop.errors import BadInput, Busy, CommandFailed, Missing, OrlopError, TimedOut
from orlop.files import write_atomic
from orlop.lab import containers, vms
from orlop.lab import state as records
from orlop.lab.identity import private_ip
from orlop.lab.paths import LabPaths
from orlop.lab.source import Given, LabSource
from orlop.lab.state import LabState, NodeState
from orlop.machines import ports, reach
from orlop.machines.kind import MachineKind
from orlop.machines.paths import MachinePaths
from orlop.machines.pids import alive
from orlop.machines.reach import Ran


class Driver(Protocol):
    """What each kind of machine does in its own way; vms.py says what for."""

    def launch(self, paths: LabPaths, lab: LabState, node: NodeState) -> LabState: ...
    def end(self, paths: LabPaths, node: NodeState) -> bool: ...
    def plug(self, paths: LabPaths, lab: LabState, node: NodeState, *, up: bool) -> None: ...
    def argv(
        self, paths: LabPaths, node: NodeState, remote: Sequence[str], *, tty: bool, extra: Sequence[str] = ()
    ) -> list[str]: ...
    def said(self, at: MachinePaths) -> str: ...
    def is_boot_enough(self, before: LabSource | None, after: LabSource) -> bool: ...


KINDS: dict[MachineKind, Driver] = {MachineKind.VM: vms, MachineKind.CONTAINER: containers}


@dataclass(frozen=True)
class Node:
    paths: LabPaths
    name: str

    @property
    def at(self) -> MachinePaths:
        return self.paths.node(self.name)

    def state(self) -> NodeState:
        return records.read(self.paths).node(self.name)

    @property
    def running(self) -> bool:
        return alive(self.state().process)

    @property
    def ip(self) -> str:
        """Its address on the lab's private network."""
        state = self.state()
        return private_ip(state.index, is_ipv6=state.conditions.is_ipv6_only)

    def port(self, guest: int) -> int:
        """The port of this computer that leads to the node's TCP port `guest`."""
        state = self.state()
        for forward in (ports.Forward(state.ssh_port, 22), *state.forwards):
            if forward.guest == guest:
                return forward.host
        raise Missing(f"{self.name} has no forwarded port {guest}", hint=f"bring the lab up with --publish 0:{guest}")

    # power and network

    def start(self) -> None:
        """Power on a node that is off; its disk is as the last power-off left it."""
        with records.lock(self.paths.ws):
            lab = records.read(self.paths)
            if alive(lab.node(self.name).process):
                raise Busy(f"{self.name} runs already", hint=f"`orlop lab power-cut {self.name}` first")
            launch(self.paths, lab, self.name)

    def power_cut(self) -> None:
        """Take its power away: no warning, nothing flushed."""
        with records.lock(self.paths.ws):
            lab = records.read(self.paths)
            node = lab.node(self.name)
            if node.process is None or not alive(node.process):
                raise Missing(f"{self.name} is off already", hint=f"`orlop lab start {self.name}` starts it")
            if not KINDS[node.kind].end(self.paths, node):
                raise OrlopError(f"{self.name} (process {node.process.pid}) does not end", hint="try again")
            records.write(self.paths, lab.with_node(replace(node, process=None)))

    def cut(self) -> None:
        """Unplug all of its network. It stays unplugged over power cuts, until `heal`."""
        self._plug(up=False)

    def heal(self) -> None:
        """Plug its network in again."""
        self._plug(up=True)

    def _plug(self, *, up: bool) -> None:
        with records.lock(self.paths.ws):
            lab = records.read(self.paths)
            node = lab.node(self.name)
            if not node.conditions.has_cards:
                raise BadInput(f"{self.name} has no network card", hint="make the lab without `--nic none`")
            if alive(node.process):
                KINDS[node.kind].plug(self.paths, lab, node, up=up)
            records.write(self.paths, lab.with_node(replace(node, cut=not up)))

    # configuration

    def reconfigure(self, given: Given) -> bool:
        """Replace the user's configuration, on or off. Returns whether a boot is enough for it to count; else it counts
        from when the node is next powered on.
        """
        with records.lock(self.paths.ws):
            lab = records.read(self.paths)
            node = lab.node(self.name)
            is_enough = KINDS[node.kind].is_boot_enough(node.source, given.source)
            write_atomic(self.at.ignition, given.config, mode=0o600)
            records.write(self.paths, lab.with_node(replace(node, source=given.source)))
        return is_enough

    # commands

    def argv(self, remote: Sequence[str], *, tty: bool = False, extra: Sequence[str] = ()) -> list[str]:
        """The command line that runs `remote` there. Raises Missing (it is off) or Busy (it is cut off)."""
        node = self.state()
        if not alive(node.process):
            raise Missing(f"{self.name} is off", hint=f"`orlop lab start {self.name}` starts it")
        return KINDS[node.kind].argv(self.paths, node, remote, tty=tty, extra=extra)

    def run(self, *remote: str, stdin: bytes = b"", timeout: float = 120.0) -> Ran:
        """Run a command there as root, word for word, and return what it did. Raises TimedOut."""
        what = f"{' '.join(remote)!r} on {self.name}"
        return reach.run(self.argv(remote), what=what, stdin=stdin, timeout=timeout)

    def sh(self, script: str, *, stdin: bytes = b"", timeout: float = 120.0) -> str:
        """Run a shell script there and return its output. Raises CommandFailed when it ends badly."""
        ran = self.run("sh", "-c", script, stdin=stdin, timeout=timeout)
        if ran.code != 0:
            raise CommandFailed(
                f"on {self.name}: {script!r} ended with {ran.code}", code=ran.code, tail=(ran.out + ran.err)[-2000:]
            )
        return ran.out

    def wait_reached(self, timeout: float = 120.0) -> None:
        """Wait until commands reach it. Raises TimedOut."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            try:
                if self.run("true", timeout=max(1.0, min(left, 30.0))).code == 0:
                    return
            except TimedOut:
                continue
            time.sleep(1.0)
        raise TimedOut(f"no command reached {self.name} within {timeout:.0f} s", hint=self._look())

    # console

    def console_size(self) -> int:
        """Bytes in its console log: what is written from now on begins here."""
        try:
            return self.at.console_log.stat().st_size
        except FileNotFoundError:
            return 0

    def console_text(self, start: int | None = None) -> str:
        """Its console from byte `start`; None: from when it was last powered on."""
        if start is None:
            start = (self.state().boots or (0,))[-1]
        try:
            with self.at.console_log.open("rb") as f:
                f.seek(start)
                return f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _look(self) -> str:
        return f"its console is kept in {self.at.console_log}"


def launch(paths: LabPaths, lab: LabState, name: str) -> LabState:
    """Power a node on and record it; the caller holds the lock. Returns the new record.

    Raises Busy (one of its ports was taken meanwhile) or CommandFailed with what its program said.
    """
    node = lab.node(name)
    for port in node.ports:
        ports.need_free(port, ())
    return KINDS[node.kind].launch(paths, lab, node)


def last_words(paths: LabPaths, node: NodeState) -> str:
    """The last words of the program that a node is, for when it went off by itself."""
    return KINDS[node.kind].said(paths.node(node.name))
