"""Every source a configuration can come from, each met by a real machine: firmware, network, address and all.

A lab of one machine that changes its surroundings from boot to boot. `source` is what the machine itself reports; the
file that the configuration makes says by which way this one came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.lab import console, images, lab
from orlop.lab.lab import Plan
from orlop.lab.machine import Node
from orlop.lab.metadata.http import Instance
from orlop.lab.source import Given, Source, Way
from orlop.lab.wait import reboot, restart, wait_verdict
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.simulators import metadata as md
from tests.simulators.metadata import Simulator, serving
from tests.vm.booting import off
from tests.vm.machines import VERDICT_SECONDS

NAME = "vmsources"
DMI = "/sys/class/dmi/id"


def config(word: str) -> bytes:
    files = [{"path": "/etc/from", "contents": {"source": f"data:,{word}"}}]
    return json.dumps({"ignition": {"version": "3.3.0"}, "storage": {"files": files}}).encode()


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    given = Given(Source(Way.URL), config("url"))
    plan = Plan(images.resolve(ws, str(image)), name=NAME, cpus=1, memory_mib=1024, demo=True, given=(given,))
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there.node("n1")


def report(node: Node, word: str, origin: str = "fresh") -> dict[str, Any]:
    """What the machine says of its configuration, which made /etc/from with this word."""
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/config.json"))
    assert found["ok"] is True, found
    assert (found["origin"], node.sh("cat /etc/from")) == (origin, word), found
    assert console.failures(node.console_text()) == []
    return found


def boot(node: Node, way: Way, word: str, *, port: int = 0, shut_down: bool = False) -> dict[str, Any]:
    node.reconfigure(Given(Source(way, port=port), config(word)))
    if shut_down:
        restart(node, Steps(), timeout=VERDICT_SECONDS)
    else:
        off(node)
        node.start()
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    return report(node, word)


def fetch(node: Node, path: str, *headers: str) -> str:
    """What a container on the machine is told by the metadata service, or why not."""
    options = [word for header in headers for word in ("--header", header)]
    ran = node.run(
        "podman", "exec", "demo", "wget", "-T", "10", "-q", "-O", "-", *options, f"http://169.254.169.254{path}"
    )
    return ran.out if ran.code == 0 else ran.err


def test_a_url_on_the_kernel_command_line(node: Node) -> None:
    assert "ignition.config.url=http://10.0.2.100/config.ign" in node.sh("cat /proc/cmdline").split()
    found = report(node, "url")
    assert (found["platform"], "http://10.0.2.100/config.ign" in found["source"]) == ("metal", True)
    assert node.reconfigure(Given(Source(Way.URL), config("url-again"))), "a boot is enough"
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
    found = boot(node, way, way.value, shut_down=True)
    assert (found["platform"], said in found["source"]) == (platform, True), found


def test_aws(node: Node) -> None:
    with serving("aws", config("aws-1")) as service:
        found = boot(node, Way.AWS, "aws-1", port=service.port)
        assert found["platform"] == "aws"
        assert node.sh(f"cat {DMI}/sys_vendor") == "Amazon EC2\n"
        asked = [r for r in service.requests if r.target == "/2019-10-01/user-data"]
        assert [(r.method, r.status) for r in asked] == [("GET", 200)]
        assert len(asked[0].headers["x-aws-ec2-metadata-token"]) == 56
        tokens = [r for r in service.requests if r.target == "/latest/api/token"]
        assert {(r.method, r.status) for r in tokens} == {("PUT", 200)}
        assert "401" in fetch(node, "/latest/user-data"), "without a token a container is told nothing"


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
    assert fetch(node, path, "Metadata-Flavor: Google") == "n1"
    assert "403" in fetch(node, path)


@pytest.mark.parametrize("way", [Way.AZURE, Way.AZURE_CDROM])
def test_azure(node: Node, way: Way) -> None:
    found = boot(node, way, way.value)
    assert found["platform"] == "azure"
    assert node.sh(f"cat {DMI}/chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77\n"
    user_data = fetch(node, "/metadata/instance/compute/userData?api-version=2021-01-01&format=text", "Metadata: true")
    assert bool(user_data) == (way is Way.AZURE)


@pytest.mark.parametrize("way", [Way.OPENSTACK, Way.CONFIG_DRIVE])
def test_openstack(node: Node, way: Way) -> None:
    found = boot(node, way, way.value)
    assert found["platform"] == "openstack"
    assert node.sh(f"cat {DMI}/product_name") == "OpenStack Nova\n"
    if way is Way.OPENSTACK:
        assert '"name": "n1"' in fetch(node, "/openstack/latest/meta_data.json")
    else:
        assert node.sh("ls /dev/disk/by-label").split().count("config-2") == 1
