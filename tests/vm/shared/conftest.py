"""One lab of two booted machines, and a registry, for all the tests of this folder, which the machine-test runner keeps
in one session.

Why shared: a boot takes a minute without KVM. Tests leave a machine as they found it, up and plugged in. When the
session ends, the console of every machine is read from its first byte, and any line that should not be there is an
error, unless a test said that it would cause it (`Machines.expect`).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import images
from orlop.lab.lab import Plan
from orlop.lab.nodeconfig import HOST_FROM_NODE, NodeConfig
from orlop.lab.ports import LOOPBACK, home, pick
from orlop.oci import demo
from orlop.processes import end_group
from orlop.sdk.run import in_sdk, sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import LAB, Machines, Registry, watched


@pytest.fixture(scope="session")
def registry(ws: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The SDK's own registry on the loopback, holding the demo image as demo:1."""
    folder = tmp_path_factory.mktemp("registry")
    port = pick((), home(str(folder)))
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: {LOOPBACK}:{port}}}\n"
    )
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            in_sdk(ws, ["docker-registry", "serve", config], binds=[folder]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        push = ["skopeo", "--insecure-policy", "copy", "--retry-times", "20", "--retry-delay", "250ms"]
        push += ["--dest-tls-verify=false", "-q"]
        push += [f"oci:{demo.ensure(ws, Steps())}:{demo.REF}", f"docker://{LOOPBACK}:{port}/demo:1"]
        sdk_run(ws, push, what="pushing the demo image", timeout=60)
        yield Registry(f"{LOOPBACK}:{port}", f"{HOST_FROM_NODE}:{port}")
    finally:
        end_group(child)


@pytest.fixture(scope="session")
def machines(ws: Workspace, image: Path, registry: Registry) -> Iterator[Machines]:
    """Two booted nodes with the demo, the Docker API and the registry configured."""
    config = NodeConfig().docker_api().registry(registry.there, insecure=True)
    plan = Plan(images.resolve(ws, str(image)), name=LAB, nodes=2, demo=True, config=config)
    with watched(ws, plan) as there:
        yield there
