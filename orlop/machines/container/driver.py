"""A container machine made, started, ended, cut off and entered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from orlop.errors import CommandFailed, Missing, NotAllowed
from orlop.files import write_atomic
from orlop.machines.container import cgroup, network, words
from orlop.machines.container.words import ContainerMachine
from orlop.machines.paths import MachinePaths
from orlop.machines.pids import ProcessId, alive, identify
from orlop.machines.tools import Tools

SUPERVISOR = Path(__file__).with_name("supervise.py")
_ENTER = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"'
# what systemd gives a service, and a login a terminal
_VISITOR = ("PATH=/usr/sbin:/usr/bin", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8")

_IN_TERMINAL = (
    "systemd-run",
    "--quiet",
    "--pty",
    "--wait",
    "--collect",
    "--working-directory=/root",
    "--setenv=TERM",
    "--",
)


def need_root() -> None:
    """Raise NotAllowed unless this process may make container machines."""
    if os.geteuid() != 0:
        raise NotAllowed(
            "container machines need root: they mount the image and make control groups and network links",
            hint="run the same with sudo, or take whole machines, which need no root: `--kind vm`",
        )


def make(at: MachinePaths) -> None:
    """What a machine needs before it is first started: its /var."""
    at.var.mkdir(mode=0o755)


def start(tools: Tools, m: ContainerMachine) -> ProcessId:
    """Start a container machine: its supervisor. Raises NotAllowed, Missing, Busy, CommandFailed."""
    need_root()
    if not end(m.key, m.name):  # what a machine that ended by itself may have left
        raise CommandFailed(f"processes of {m.name} do not end", code=1, hint="try again in a moment")
    group = cgroup.make(m.key, m.name, m.cpus, m.memory_mib)
    spec = {
        "name": m.name,
        "usr": str(m.usr),
        "stage": words.STAGE,
        "console": str(m.at.console),
        "log": str(m.at.console_log),
        "cgroup": str(group),
        "nspawn": tools.by_loader("systemd-nspawn", words.nspawn(m)),
        "config": str(m.at.ignition),
        "config_option": words.config_option(m.at.ignition),
        "process_one": words.process_one(m),
        "environment": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **words.ENVIRONMENT},
    }
    write_atomic(m.at.machine, json.dumps(spec, indent=1) + "\n", mode=0o600)
    network.batch(tools, m.net, words.link_removal(m.name), what="removing old links", force=True)
    with network.way_out(tools, m) as held:
        return _supervisor(tools, m, held)


def _supervisor(tools: Tools, m: ContainerMachine, held: tuple[int, ...]) -> ProcessId:
    """Start the machine's supervisor, give it its links and let it go."""
    python = [sys.executable, "-I", "-S", "-B", str(SUPERVISOR), str(m.at.machine)]
    # by way of setsid, which leaves it to itself: it is nobody's child, and outlives us
    namespaces = ["setsid", "--fork", "unshare", "--net", "--mount", "--propagation=slave"]
    pipe = subprocess.PIPE
    with m.at.program_log.open("wb") as log:
        child = subprocess.Popen([*namespaces, *python], stdin=pipe, stdout=pipe, stderr=log, pass_fds=held)
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        match child.stdout.readline().split():
            case [b"ready", pid] if process := identify(int(pid)):
                pass
            case _:
                raise CommandFailed(f"starting {m.name} failed", code=1, tail=said(m.at))
        text = words.link_setup(m.name, process.pid, m.macs, up=not m.is_cut, far=m.is_far)
        network.batch(tools, m.net, text, what=f"giving {m.name} its links")
        child.stdin.write(b"go\n")  # without it, it ends when we close its input
    return process


def end(key: str, name: str) -> bool:
    """Take its power: all of its processes die at one moment. False when some do not."""
    return cgroup.end(cgroup.top() / key / name)


def plug(tools: Tools, m: ContainerMachine, *, up: bool) -> None:
    """Plug the links of a machine that runs in or out; one without links has nothing to plug."""
    if m.macs:
        network.batch(tools, m.net, words.link_state(m.name, up=up, far=m.is_far), what=f"plugging {m.name}")


def said(at: MachinePaths) -> str:
    """The end of what its program said besides the console."""
    try:
        return at.program_log.read_text(errors="replace")[-2000:]
    except FileNotFoundError:
        return ""


def command(name: str, supervisor: ProcessId | None, remote: Sequence[str], *, tty: bool) -> list[str]:
    """The command line that runs `remote` there; it needs no network, so a machine that is cut off is reached as well.

    Raises Missing when the machine has no process 1 now (it is being started again).
    """
    need_root()
    leader = process_one(supervisor)
    if leader is None:
        raise Missing(f"{name} is being started", hint="try again in a moment")
    visit = cgroup.visit(leader)
    enter = ["nsenter", f"--target={leader}", "--all", "--wdns=/root", "env", "-i", *_VISITOR]
    if tty:
        # a terminal of the machine's own, that its shells can control: this computer's is of a session it cannot see
        enter = [*enter, f"TERM={os.environ.get('TERM', 'dumb')}", *_IN_TERMINAL]
    return ["sh", "-c", _ENTER, "visit", str(visit), *enter, *(remote or (["sh", "-l"] if tty else ["sh"]))]


def process_one(supervisor: ProcessId | None) -> int | None:
    """The machine's process 1, as this computer numbers it: the only child of its supervisor's only child."""
    if supervisor is None or not alive(supervisor):
        return None
    pid = supervisor.pid
    for _ in range(2):
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        if len(children) != 1:
            return None
        pid = int(children[0])
    return pid
