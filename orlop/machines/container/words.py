"""What the programs behind a container machine are told. Pure.

Network of a lab: one namespace of its own (NS), held by the lab's switch. In it, for machine k:

    nkt ─ nkb ─ nko ══ host0       nkt: slirp4netns's tap, the way out, as QEMU's user network is for a whole machine
          lab ─ nkp ══ host1       lab: the private network, where the switch for whole machines has a tap as well

host0 and host1 are in the machine's namespace, their other ends are unplugged to cut it off.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orlop.machines.paths import MachinePaths
from orlop.machines.ports import LOOPBACK, Forward

BRIDGE = "lab"
TAP = "switch"  # of the switch for whole machines, in the lab's namespace
STAGE = "/run/orlop-machine"  # in the supervisor's mount namespace: the folder that holds the image's usr
START = "/usr/lib/orlop/container-start"
GUEST = "10.0.2.15"  # what slirp4netns gives its first and only client
# The image is built for systemd as process 1, which wants cgroup v2 and may set the network's sysctls.
ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}

# Where the computer has no controllers of cgroup v2, crun refuses limits, and podman asks for one by default. Quadlet
# says its own word for cgroups on the command line, so it is told there.
NO_LIMITS = {
    "/etc/containers/containers.conf.d/10-orlop-lab.conf": '[containers]\ncgroups = "disabled"\n',
    "/etc/containers/systemd/container.d/10-orlop-lab.conf": "[Container]\nPodmanArgs=--cgroups=disabled\n",
}


@dataclass(frozen=True)
class ContainerMachine:
    """One machine. `key`: what the set it belongs to is called on this computer, and nothing else is; `net`: the
    network namespace of that set. `usr`: the image's, a file or a folder. `credentials`: files, by their names there.
    `url`: where its configuration is, or "". `binds`: further folders of this computer, read-only, by place there.
    `is_cut`: it starts with its links unplugged; `is_far`: as for `link_state`.
    """

    key: str
    name: str
    at: MachinePaths
    usr: Path
    net: Path
    cpus: int
    memory_mib: int
    macs: tuple[str, ...]
    forwards: tuple[Forward, ...] = ()
    credentials: tuple[tuple[str, Path], ...] = ()
    url: str = ""
    binds: tuple[tuple[Path, str], ...] = ()
    is_cut: bool = False
    is_far: bool = False


def nspawn(m: ContainerMachine) -> list[str]:
    """systemd-nspawn's arguments. Its network namespace is the one that it is started in."""
    return [
        f"--directory={STAGE}",
        "--volatile=yes",  # / is a new tmpfs, with /usr of the folder read-only
        *("--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off"),
        "--network-namespace-path=/proc/self/ns/net",
        *(f"--machine={m.key}-{m.name}", f"--hostname={m.name}"),
        *("--console=interactive", "--kill-signal=SIGRTMIN+3", "--capability=all"),
        "--system-call-filter=@keyring bpf",  # as whole machines may: crun gives each container a keyring
        f"--bind={_path(m.at.var)}:/var",
        *(f"--bind-ro={_path(here)}:{there}" for here, there in m.binds),
        *(f"--load-credential={name}:{file}" for name, file in m.credentials),
    ]


def config_option(config: Path) -> str:
    """The option that lays the configuration's file before a machine; for a start at which there is one."""
    return f"--bind-ro={_path(config)}:/run/host/orlop/config.ign"


def process_one(m: ContainerMachine) -> list[str]:
    return [START, *((f"ignition.config.url={m.url}",) if m.url else ())]


def _path(path: Path) -> str:
    """A path in an option whose parts are between colons."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def namespace_setup(with_tap: bool) -> str:
    """`ip -batch` for a new namespace of a lab."""
    lines = [f"link add {BRIDGE} type bridge forward_delay 0", f"link set {BRIDGE} up", "link set lo up"]
    if with_tap:
        lines += [f"link set {TAP} master {BRIDGE}", f"link set {TAP} up"]
    return _lines(lines)


def link_setup(name: str, pid: int, macs: tuple[str, ...], *, up: bool, far: bool = False) -> str:
    """`ip -batch` that gives the machine whose supervisor is `pid` its two links; without addresses for them, none.
    `up` and `far`: as for `link_state`.
    """
    if not macs:
        return ""
    lines = [
        f"link add {name}b type bridge forward_delay 0",
        f"link set {name}t master {name}b",
        f"link add {name}o type veth peer name host0 address {macs[0]} netns {pid}",
        f"link set {name}o master {name}b",
        f"link set {name}b up",
        f"link add {name}p type veth peer name host1 address {macs[1]} netns {pid}",
        f"link set {name}p master {BRIDGE}",
    ]
    return _lines(lines) + link_state(name, up=True) + ("" if up else link_state(name, up=False, far=far))


def link_removal(name: str) -> str:
    """`ip -force -batch` that removes what an earlier start may have left."""
    return _lines([f"link del {name}{end}" for end in "bop"])


def link_state(name: str, *, up: bool, far: bool = False) -> str:
    """Plug both links in, or unplug them. `far`: the one that leads out is unplugged behind its bridge, so that the
    machine's end keeps its carrier.
    """
    ends = "top" if up else "tp" if far else "op"
    return _lines([f"link set {name}{end} {'up' if up else 'down'}" for end in ends])


def _lines(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)


def slirp(name: str, namespace: Path, api: Path, ready: int, ends: int) -> list[str]:
    """slirp4netns: it says on the descriptor `ready` when the tap is there, and ends when `ends` is closed."""
    return [
        "slirp4netns",
        *("--mtu=1500", f"--ready-fd={ready}", f"--exit-fd={ends}", f"--api-socket={api}"),
        *("--netns-type=path", str(namespace), f"{name}t"),
    ]


def forward_request(forward: Forward) -> bytes:
    """What slirp4netns's socket is asked for one forwarded port."""
    where = {"host_addr": LOOPBACK, "host_port": forward.host, "guest_addr": GUEST, "guest_port": forward.guest}
    return json.dumps({"execute": "add_hostfwd", "arguments": {"proto": "tcp", **where}}).encode()
