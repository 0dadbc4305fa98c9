"""An image from a registry, by the machine's configuration. A container machine: what pulls is the same on all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import images, lab
from orlop.lab.nodeconfig import HOST_FROM_NODE, NodeConfig
from orlop.lab.plan import LabPlan
from orlop.machines.ports import LOOPBACK, home, pick
from orlop.oci import demo
from orlop.processes import end_group
from orlop.sdk.run import in_sdk, sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

LAB = "vmregistry"
SECONDS = 60.0


@pytest.fixture
def port(ws: Workspace, tmp_path: Path) -> Iterator[int]:
    """The SDK's own registry on this port of the loopback, holding the demo image as demo:1."""
    chosen = pick((), home(f"registry of {ws.labs / LAB}"))
    config = tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: {LOOPBACK}:{chosen}}}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            in_sdk(ws, ["docker-registry", "serve", config], binds=[tmp_path]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        push = ["skopeo", "--insecure-policy", "copy", "--retry-times", "20", "--retry-delay", "250ms"]
        push += ["--dest-tls-verify=false", "-q"]
        push += [f"oci:{demo.ensure(ws, Steps())}:{demo.REF}", f"docker://{LOOPBACK}:{chosen}/demo:1"]
        sdk_run(ws, push, what="pushing the demo image", timeout=60)
        yield chosen
    finally:
        end_group(child)


def test_an_image_is_pulled_from_a_registry_and_runs(ws: Workspace, image: Path, port: int) -> None:
    config = NodeConfig().registry(f"{HOST_FROM_NODE}:{port}", insecure=True)
    plan = LabPlan(images.resolve(ws, str(image)), name=LAB, containers=1, config=config)
    with lab.running(ws, Steps(), plan, timeout=SECONDS) as there:
        node, name = there.node("n1"), f"{HOST_FROM_NODE}:{port}/demo:1"
        said = node.sh(f"podman run --rm --entrypoint /bin/cat {name} /proc/version", timeout=SECONDS)
        assert said == node.sh("cat /proc/version"), "a container shares the kernel"
        assert name in node.sh("podman images --format '{{.Repository}}:{{.Tag}}'")
        node.sh(f"podman rmi {name}")
        assert name not in node.sh("podman images --format '{{.Repository}}:{{.Tag}}'")
