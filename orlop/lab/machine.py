"""One node: its power, its network, its console, commands on it.

A `Node` holds no state but where to look: each question reads lab.json and the console log anew, each change is made
under the lab lock. So several processes may hold one at the same time, and it stays right when a machine dies on its
own.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orlop.errors import Busy, CommandFailed, Missing, OrlopError, TimedOut
from orlop.files import write_atomic
from orlop.lab import ports, qmp, ssh
from orlop.lab import state as records
from orlop.lab.medium import prepare
from orlop.lab.paths import NodePaths, Paths
from orlop.lab.pids import alive, from_file, kill
from orlop.lab.qemu import Machine, command, nics, private_ip
from orlop.lab.source import Given, Source
from orlop.lab.state import LabState, NodeState
from orlop.processes import end_group, run
from orlop.sdk.run import in_sdk, sdk_run

START_SECONDS = 60.0
# for what QEMU notes of the code it translated: an emulated machine takes a twentieth less processor time to boot
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
_POLL = 0.25
_HOPELESS = ("kernel panic", "emergency mode", "init froze", "verity")


@dataclass(frozen=True)
class Ran:
    """What a command on a node did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Node:
    paths: Paths
    name: str

    @property
    def at(self) -> NodePaths:
        return self.paths.node(self.name)

    def state(self) -> NodeState:
        return records.read(self.paths).node(self.name)

    @property
    def running(self) -> bool:
        return alive(self.state().process)

    @property
    def ip(self) -> str:
        """Its address on the lab's private network."""
        return private_ip(self.state().index)

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
            if not kill(node.process):
                raise OrlopError(f"QEMU of {self.name} (process {node.process.pid}) does not end", hint="try again")
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
            if alive(node.process):
                set_links(self.at, node.source, up=up)
            records.write(self.paths, lab.with_node(replace(node, cut=not up)))

    # configuration

    def reconfigure(self, given: Given) -> bool:
        """Replace the user's configuration, on or off. Returns whether a boot is enough for it to count; else it counts
        from when the node is next powered on.
        """
        with records.lock(self.paths.ws):
            lab = records.read(self.paths)
            node = lab.node(self.name)
            is_enough = given.source == node.source and given.source.is_served
            write_atomic(self.at.ignition, given.config, mode=0o600)
            records.write(self.paths, lab.with_node(replace(node, source=given.source)))
        return is_enough

    # commands

    def argv(self, remote: Sequence[str], *, tty: bool = False, extra: Sequence[str] = ()) -> list[str]:
        """The command line that runs `remote` there. Raises Missing (it is off) or Busy (it is cut off)."""
        node = self.state()
        if not alive(node.process):
            raise Missing(f"{self.name} is off", hint=f"`orlop lab start {self.name}` starts it")
        if node.cut:
            raise Busy(
                f"{self.name} is cut off from its network, and commands reach it over the network",
                hint=f"`orlop lab heal {self.name}` first; `orlop lab console {self.name}` works without a network",
            )
        return ssh.command(self.paths, self.name, node.ssh_port, remote, tty=tty, extra=extra)

    def run(self, *remote: str, stdin: bytes = b"", timeout: float = 120.0) -> Ran:
        """Run a command there as root, word for word, and return what it did. Raises TimedOut."""
        child = subprocess.Popen(
            self.argv(remote),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{' '.join(remote)!r} on {self.name} did not end within {timeout:.0f} s") from None
        finally:
            end_group(child)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
        return Ran(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def sh(self, script: str, *, stdin: bytes = b"", timeout: float = 120.0) -> str:
        """Run a shell script there and return its output. Raises CommandFailed when it ends badly."""
        ran = self.run("sh", "-c", script, stdin=stdin, timeout=timeout)
        if ran.code != 0:
            raise CommandFailed(
                f"on {self.name}: {script!r} ended with {ran.code}", code=ran.code, tail=(ran.out + ran.err)[-2000:]
            )
        return ran.out

    def wait_ssh(self, timeout: float = 120.0) -> None:
        """Wait until commands reach it. Raises TimedOut."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            try:
                if self.run("true", timeout=max(1.0, min(left, 30.0))).code == 0:
                    return
            except TimedOut:
                continue
            time.sleep(1.0)
        raise TimedOut(f"{self.name} did not let us in over SSH within {timeout:.0f} s", hint=self._look())

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


def set_links(at: NodePaths, source: Source | None, *, up: bool) -> None:
    for nic in nics(source):
        qmp.ask(at.qmp, "set_link", {"name": nic, "up": up})


def launch(paths: Paths, lab: LabState, name: str) -> LabState:
    """Start QEMU for a node and record it; the caller holds the lock. Returns the new record.

    Raises Busy (one of its ports was taken meanwhile) or CommandFailed with what QEMU said.
    """
    node, at = lab.node(name), paths.node(name)
    for port in node.ports:
        ports.need_free(port, ())
    machine = Machine(
        lab=lab.name,
        name=name,
        index=node.index,
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        accelerator=lab.acceleration.name,
        paths=at,
        ssh_port=node.ssh_port,
        root=paths.ws.root,
        forwards=node.forwards,
        switch=paths.switch,
        media=paths.media if node.media else None,
        source=node.source,
        data_disks=node.data_disks,
        write_log=at.write_log if at.write_log.exists() else None,
    )
    prepare(paths, name, node.source, Path(lab.image))
    for old in (at.pid, at.qemu_log):
        old.unlink(missing_ok=True)
    start = at.console_log.stat().st_size if at.console_log.exists() else 0
    argv = in_sdk(paths.ws, command(machine), binds=[Path(lab.image).parent], env=HUGE_PAGES, die_with_parent=False)
    try:
        run(argv, what=f"starting {name}", timeout=START_SECONDS)
    except CommandFailed as e:  # QEMU's own words go to its log
        said = (e.tail + "\n" + qemu_said(at)).strip()
        message = f"starting {name} failed: {said.splitlines()[-1] if said else e.message}"
        raise CommandFailed(message, code=e.code, tail=said) from None
    process = from_file(at.pid)
    if process is None:
        raise CommandFailed(f"QEMU of {name} ended at once", code=1, tail=qemu_said(at))
    lab = lab.with_node(replace(node, process=process, boots=(*node.boots, start)))
    records.write(paths, lab)
    if node.cut:
        set_links(at, node.source, up=False)
    return lab


def qemu_said(at: NodePaths) -> str:
    """The end of what QEMU wrote to its log since it was started."""
    try:
        return at.qemu_log.read_text(errors="replace")[-2000:]
    except FileNotFoundError:
        return ""


def make_disk(paths: Paths, base: Path, disk: Path, gib: int) -> None:
    """A node's own disk: nothing but what differs from `base`, which must stay where it is."""
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(disk), f"{gib}G"]
    sdk_run(paths.ws, argv, what=f"making the disk {disk.name}", binds=[base.parent], timeout=START_SECONDS)


def make_empty_disk(paths: Paths, disk: Path, mib: int) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", str(disk), f"{mib}M"]
    sdk_run(paths.ws, argv, what=f"making the disk {disk.name}", timeout=START_SECONDS)
