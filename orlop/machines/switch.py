"""The private network of a set of machines: a switch, and for container machines a namespace that it lives in.

Lifetime: the switch's process, which outlives who started it. Whole machines join by its sockets; container machines
are in the namespace, on a bridge that the switch leads to by a tap.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from orlop.machines.container import network, words
from orlop.machines.kind import MachineKind
from orlop.machines.pids import ProcessId, from_file
from orlop.machines.tools import Tools
from orlop.processes import run

# `run` ends what is left in its process group. vde_switch leaves it when it makes itself a daemon, and writes its pid
# file after that: so the command lasts until both that and the socket are there.
_AND_LISTENS = (
    'ctl=$1 pid=$2; shift 2; "$@" || exit; for _ in $(seq 200); do '
    '[ -S "$ctl" ] && [ -s "$pid" ] && exit; sleep 0.05; done; exit 1'
)


def start(tools: Tools, folder: Path, pid_file: Path, kinds: set[MachineKind], ports: int) -> ProcessId | None:
    """Start the switch, its sockets in `folder`, for machines of these kinds and so many cables."""
    argv = ["sh", "-c", _AND_LISTENS, "switch", str(folder / "ctl"), str(pid_file)]
    argv += ["vde_switch", "-d", "-s", str(folder), "-m", "0600", "-n", str(ports), "-p", str(pid_file)]
    if MachineKind.CONTAINER in kinds:
        is_mixed = MachineKind.VM in kinds
        argv += ["-t", words.TAP] if is_mixed else []
        setup = shlex.join(network.setup_script(with_tap=is_mixed))
        # the tap is there when the switch listens
        argv = ["unshare", "--net", "sh", "-c", f'"$@" && {setup}', "sh", *argv]
    run(tools.inside(argv, die_with_parent=False), what="starting the private network", timeout=30)
    return from_file(pid_file)
