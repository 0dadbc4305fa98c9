"""The network in the initrd, only when a configuration has to be fetched over it.

systemd-networkd asks for an address on every Ethernet link; what `ip=` on the kernel command line says comes first
(systemd-network-generator). When the configuration is there, everything is taken down again, so that the system starts
from what its own files say and from nothing else.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

UNIT = "orlop-initrd-network.service"
WAIT_SECONDS = 30.0
NETWORKS = Path("/run/systemd/network")
STATE = Path("/run/systemd/netif/state")

ETHERNET = "Type=ether\nKind=!*"  # every link that is a card
_DHCP = """\
[Match]
{links}

[Network]
DHCP=yes
LLMNR=no
MulticastDNS=no

[DHCPv4]
ClientIdentifier=mac
UseDomains=yes
"""
# network adapters by what a bus says of its devices
_ADAPTERS = ("virtio:d00000001", "vmbus:635161f8", "xen:vif")
_PCI_NETWORK = "bc02sc"


def is_adapter(modalias: str) -> bool:
    return modalias.startswith(_ADAPTERS) or (modalias.startswith("pci:") and _PCI_NETWORK in modalias)


def state(text: str) -> tuple[bool, list[str], list[str]]:
    """What networkd's state file says: whether an address leads out, the name servers, the search domains."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    is_up = values.get("OPER_STATE", "") in ("routable", "degraded") and values.get("ADDRESS_STATE") == "routable"
    return is_up, values.get("DNS", "").split(), values.get("DOMAINS", "").split()


def resolv_conf(servers: list[str], domains: list[str]) -> str:
    lines = [f"nameserver {server}" for server in servers[:3]]
    if domains:
        lines.append("search " + " ".join(domains))
    return "".join(line + "\n" for line in lines)


def start_unit() -> None:
    _run("systemctl", "start", UNIT)


def up(names: dict[str, str], links: str, start: Callable[[], None], *, etc: Path = Path("/etc")) -> bool:
    """Bring the network up and write how names are resolved. `names`: addresses of hosts that no server knows; `links`:
    which links ask for an address, as lines of [Match] in systemd.network(5); `start`: starts systemd-networkd.

    False when no address came in time: a fetch may still succeed a little later, and says why when it does not.
    """
    _run("/usr/lib/systemd/systemd-network-generator")
    NETWORKS.mkdir(parents=True, exist_ok=True)
    (NETWORKS / "90-orlop-initrd.network").write_text(_DHCP.format(links=links))
    lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {name}" for name, address in names.items())]
    (etc / "hosts").write_text("".join(line + "\n" for line in lines))
    start()
    until = time.monotonic() + WAIT_SECONDS
    while True:
        is_up, servers, domains = state(_text(STATE))
        if is_up or time.monotonic() > until:
            (etc / "resolv.conf").write_text(resolv_conf(servers, domains))
            return is_up
        time.sleep(0.1)


def down() -> None:
    """Leave the adapters as if nobody had used them."""
    _run("systemctl", "stop", UNIT)
    forget(link.name for link in sorted(Path("/sys/class/net").iterdir()) if (link / "device").exists())


def forget(links: Iterable[str]) -> None:
    """Leave these links without addresses and down, and networkd without what it was told here."""
    for link in links:
        _run("ip", "address", "flush", "dev", link)
        _run("ip", "link", "set", "dev", link, "down")
    for file in NETWORKS.glob("*"):
        file.unlink()


def load_drivers() -> None:
    buses = Path("/sys/bus").glob("*/devices/*/modalias")
    wanted = sorted({alias for path in buses if is_adapter(alias := _text(path).strip())})
    if wanted:
        _run("modprobe", "-qab", "af_packet", *wanted)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _run(*argv: str) -> None:
    """What fails here shows in what it was for; the journal has its words."""
    subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=60, check=False)
