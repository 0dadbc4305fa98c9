"""Every source a configuration can come from, each met by a real machine: firmware, network, address and all.

A lab of one machine, off at first, that changes its surroundings from boot to boot. `source` is what the machine itself
reports; the file that the configuration makes says by which way this one came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed
from orlop.lab.machine import Node
from orlop.lab.metadata.http import Instance
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.wait import reboot, restart, wait_verdict
from orlop.machines import console
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators import metadata as md
from simulators.metadata import Simulator, serving
from tests.machines.booting import booting, off, wait_answers
from tests.machines.machines import VERDICT_SECONDS

NAME = "vmsources"
DMI = "/sys/class/dmi/id"


PYTHON = ("/usr/lib/orlop/runtime/usr/bin/python3.13", "-I", "-S", "-B", "-c")
GET = """import socket, sys
s = socket.create_connection(("169.254.169.254", 80), 20)
s.sendall("\\r\\n".join([f"GET {sys.argv[1]} HTTP/1.0", "Host: 169.254.169.254", *sys.argv[2:], "", ""]).encode())
print(s.makefile().read(), end="")
"""


def config(word: str, *, demo: bool = False) -> bytes:
    """`demo`: the container, which costs an emulated machine ten seconds of processor time, is started."""
    files = [{"path": "/etc/from", "contents": {"source": f"data:,{word}"}}]
    units = [] if demo else [{"name": "demo.service", "mask": True}]
    found = {"ignition": {"version": "3.3.0"}, "storage": {"files": files}, "systemd": {"units": units}}
    return json.dumps(found).encode()


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with booting(ws, image, NAME, demo=True) as there:
        yield there.node("n1")


def report(node: Node, word: str, origin: str = "fresh") -> dict[str, Any]:
    """What the machine says of its configuration, which made /etc/from with this word."""
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/config.json"))
    assert found["ok"] is True, found
    assert (found["origin"], node.sh("cat /etc/from")) == (origin, word), found
    assert console.failures(node.console_text()) == []
    return found


def boot(node: Node, way: Way, word: str, *, port: int = 0, demo: bool = False) -> dict[str, Any]:
    """Start it with this source, and come back when it answers: its configuration is done then."""
    off(node)
    node.reconfigure(Given(LabSource(way, port=port), config(word, demo=demo)))
    node.start()
    if demo:
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    else:
        wait_answers(node)
    return report(node, word)


def fetch(node: Node, path: str, *headers: str) -> tuple[int, str]:
    """What the metadata service tells the machine: the status and the body."""
    head, _, body = node.run(*PYTHON, GET, path, *headers).out.partition("\n\n")
    return int(head.split()[1]), body


def fetch_in_container(node: Node, path: str, *headers: str) -> str:
    """What it tells a container on the machine, or why not."""
    options = [word for header in headers for word in ("--header", header)]
    ran = node.run(
        "podman", "exec", "demo", "wget", "-T", "10", "-q", "-O", "-", *options, f"http://169.254.169.254{path}"
    )
    return ran.out if ran.code == 0 else ran.err


def test_a_url_on_the_kernel_command_line(node: Node) -> None:
    found = boot(node, Way.URL, "url")
    assert "ignition.config.url=http://10.0.2.100/config.ign" in node.sh("cat /proc/cmdline").split()
    assert (found["platform"], "http://10.0.2.100/config.ign" in found["source"]) == ("metal", True)


@pytest.mark.long  # test_config.py has a server whose configuration is another one at the next boot
@pytest.mark.follows("test_a_url_on_the_kernel_command_line")
def test_another_configuration_at_the_same_url_needs_no_more_than_a_boot(node: Node) -> None:
    boot(node, Way.URL, "url")
    assert node.reconfigure(Given(LabSource(Way.URL), config("url-again")))
    reboot(node, Steps(), timeout=VERDICT_SECONDS)
    report(node, "url-again")


@pytest.mark.parametrize(
    ("way", "platform", "said"),
    [
        (Way.ESP, "metal", "the file orlop/config.ign on the ESP"),
        pytest.param(Way.DISK, "metal", "the file config.ign on the disk orlop-config", marks=pytest.mark.long),
    ],
)
def test_metal(node: Node, way: Way, platform: str, said: str) -> None:
    node.reconfigure(Given(LabSource(way), config(way.value)))
    restart(node, Steps(), timeout=VERDICT_SECONDS)
    found = report(node, way.value)
    assert (found["platform"], said in found["source"]) == (platform, True), found


def test_aws(node: Node) -> None:
    with serving("aws", config("aws-1", demo=True)) as service:
        found = boot(node, Way.AWS, "aws-1", port=service.port, demo=True)
        assert found["platform"] == "aws"
        assert node.sh(f"cat {DMI}/sys_vendor") == "Amazon EC2\n"
        asked = [r for r in service.requests if r.target == "/2019-10-01/user-data"]
        assert [(r.method, r.status) for r in asked] == [("GET", 200)]
        assert len(asked[0].headers["x-aws-ec2-metadata-token"]) == 56
        tokens = [r for r in service.requests if r.target == "/latest/api/token"]
        assert {(r.method, r.status) for r in tokens} == {("PUT", 200)}
        assert "401" in fetch_in_container(node, "/latest/user-data"), "without a token a container is told nothing"


@pytest.mark.long
def test_a_metadata_service_that_fails_at_first_or_does_not_answer(node: Node) -> None:
    with serving("aws", config("aws-1")) as service:
        boot(node, Way.AWS, "aws-1", port=service.port)
        _recovers(node, service)
        _is_away(node, service)


def _recovers(node: Node, service: Simulator) -> None:
    """A service that fails at first, at a boot that finds another configuration."""
    service.instance = Instance("n1", config("aws-2"))
    service.requests.clear()
    service.faults = [md.first(2, md.status(500), "user-data"), md.first(1, md.reset, "user-data")]
    reboot(node, Steps(), timeout=VERDICT_SECONDS)
    report(node, "aws-2")
    assert len([r for r in service.requests if r.target == "/2019-10-01/user-data"]) == 4


def _is_away(node: Node, service: Simulator) -> None:
    """A service that takes every connection and never answers: the machine comes up with what it had."""
    service.instance = Instance("n1", config("aws-3"))
    service.faults = [md.always(md.no_answer)]
    reboot(node, Steps(), timeout=VERDICT_SECONDS)
    report(node, "aws-2", "kept")


def test_gcp(node: Node) -> None:
    found = boot(node, Way.GCP, "gcp")
    assert found["platform"] == "gcp"
    assert node.sh(f"cat {DMI}/product_name") == "Google Compute Engine\n"
    path = "/computeMetadata/v1/instance/name"
    assert fetch(node, path, "Metadata-Flavor: Google") == (200, "n1")
    assert fetch(node, path)[0] == 403


def test_azure(node: Node) -> None:
    found = boot(node, Way.AZURE, "azure")
    assert found["platform"] == "azure"
    assert node.sh(f"cat {DMI}/chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77\n"
    path = "/metadata/instance/compute/userData?api-version=2021-01-01&format=text"
    status, body = fetch(node, path, "Metadata: true")
    assert status == 200 and body


def test_openstack(node: Node) -> None:
    found = boot(node, Way.OPENSTACK, "openstack")
    assert found["platform"] == "openstack"
    assert node.sh(f"cat {DMI}/product_name") == "OpenStack Nova\n"
    assert '"name": "n1"' in fetch(node, "/openstack/latest/meta_data.json")[1]


@pytest.mark.parametrize(
    ("way", "source"),
    [
        (Way.AZURE_CDROM, "the metadata service of Azure, or its virtual CD"),
        (Way.CONFIG_DRIVE, "the config drive or the metadata service of OpenStack"),
    ],
)
def test_the_drive_of_a_cloud(node: Node, way: Way, source: str) -> None:
    """That it is read is seen in the initrd, by what is wrong with the configuration on it, for a third of a boot. What
    comes of one that is well is the same as from the metadata service, which has none here.
    """
    off(node)
    files = [{"path": "/etc/from", "user": {"name": f"nobody-{way}"}, "contents": {"source": "data:,x"}}]
    wrong = {"ignition": {"version": "3.3.0"}, "storage": {"files": files}}
    node.reconfigure(Given(LabSource(way), json.dumps(wrong).encode()))
    node.start()
    with pytest.raises(CommandFailed, match="cannot come up"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    said = console.plain(node.console_text())
    node.power_cut()
    assert f"nobody-{way}" in said
    assert f"orlop-config: the configuration comes from {source}" in said
