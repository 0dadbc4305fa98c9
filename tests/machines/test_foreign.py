"""What other systems' words become holds on a machine: its own programs take the files and mean what was meant."""

from __future__ import annotations

import json
from pathlib import Path

from orlop.model.settings.update import DAYS_OF_WEEK
from orlop.model.update.reboot import Window
from orlop.node.update.settings import parse
from orlop.provision.translate import translate
from orlop.workspace import Workspace
from tests.machines.machines import watched
from tests.machines.test_container_machines import plan

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
KEYFILE = """[connection]
id=test0
type=ethernet
interface-name=test0
[ethernet]
mtu=1400
[ipv4]
method=manual
addresses=192.0.2.50/24
gateway=192.0.2.1
dns=192.0.2.7
dns-search=example.org
"""
WINDOW = 'REBOOT_STRATEGY=reboot\nLOCKSMITHD_REBOOT_WINDOW_START="Thu 04:00"\nLOCKSMITHD_REBOOT_WINDOW_LENGTH=1h30m\n'
FILES = {
    "/etc/flatcar/update.conf": WINDOW,
    "/etc/NetworkManager/system-connections/test0.nmconnection": KEYFILE,
    "/etc/chrony.conf": "server 192.0.2.123 iburst\n",
    "/etc/pki/ca-trust/source/anchors/corp.pem": PEM,
}


def test_what_is_honoured_holds_on_a_machine(ws: Workspace, image: Path) -> None:
    files = [{"path": path, "contents": {"inline": text}} for path, text in FILES.items()]
    config = {"variant": "fcos", "version": "1.5.0", "storage": {"files": files}}
    made = translate(json.dumps(config).encode(), strict=True)
    assert made.ignition is not None, made.report.entries
    with watched(ws, plan(image, "foreign", made.ignition.encode())) as there:
        sh = there.n1.sh
        strategy = parse(sh("cat /etc/orlop/update.toml").encode()).engine.strategy
        assert isinstance(strategy, Window)
        assert strategy.days == frozenset({DAYS_OF_WEEK.index("thu")})
        sh("ip link add test0 type veth peer name test1 && ip link set test0 up && ip link set test1 up")
        sh("/usr/lib/systemd/systemd-networkd-wait-online --interface=test0 --timeout=20")
        assert "192.0.2.50/24" in sh("ip -4 address show test0")
        assert "mtu 1400" in sh("ip link show test0")
        assert "via 192.0.2.1 dev test0" in sh("ip route show default")
        assert "192.0.2.7" in sh("resolvectl dns test0")
        assert "example.org" in sh("resolvectl domain test0")
        assert "NTP=192.0.2.123" in sh("systemd-analyze cat-config systemd/timesyncd.conf")
        bundle = sh("cat /etc/ssl/certs/ca-certificates.crt")
        assert bundle.rstrip().endswith(PEM)
        assert bundle.count("-----BEGIN CERTIFICATE-----") > 100  # the image's own are there as before
        assert sh("orlop diff") == "no difference: this machine is its image and its configuration\n"
