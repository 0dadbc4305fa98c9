"""Booted machines for the tests: one image, one lab of two nodes, one registry, shared by all of them.

Why shared: a boot takes a minute without KVM. Tests leave a node as they found it, up and plugged in. When the session
ends, the console of every node is read from its first byte, and any line that should not be there is an error, unless
a test said that it would cause it (`Machines.expect`).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.image import build
from orlop.lab import images
from orlop.lab.lab import Plan
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE, NodeConfig
from orlop.lab.ports import LOOPBACK, home, pick
from orlop.oci import demo
from orlop.processes import end_group
from orlop.sdk import tree
from orlop.sdk.run import in_sdk, sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import LAB, Machines, Registry, watched
from tests.vm.releases import Releases

SESSION_SECONDS = float(os.environ.get("ORLOP_VM_SECONDS", "3600"))
_HERE = Path(__file__).parent
_BEGUN = time.monotonic()


# what the second of two shares has (scripts/machine-tests.py): half of the time, all on labs of their own
_SECOND = (
    *("test_config", "test_first_boots", "test_update", "test_update_troubles"),
    *("test_channels", "test_publish_guide"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", choices=["1/2", "2/2"], help="run one half of the machine tests, beside the other")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share = config.getoption("--share")
    for item in list(items):
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.vm)
            if share and (item.path.stem in _SECOND) != (share == "2/2"):
                items.remove(item)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """However slow the machines are, the session ends: what does not fit any more fails without being run."""
    if item.path.is_relative_to(_HERE) and time.monotonic() - _BEGUN > SESSION_SECONDS:
        pytest.fail(f"the machine tests have taken more than {SESSION_SECONDS:.0f} s (ORLOP_VM_SECONDS)", pytrace=False)


@pytest.fixture(scope="session")
def ws() -> Workspace:
    found = Workspace.find()
    tree.ensure(found, Steps())
    return found


@pytest.fixture(scope="session")
def image(ws: Workspace) -> Path:
    """The image of today's sources, built if it is not there; `ORLOP_TEST_IMAGE` names another."""
    given = os.environ.get("ORLOP_TEST_IMAGE")
    return images.resolve(ws, given).raw.parent if given else build.build(ws, Steps())


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


@pytest.fixture(scope="session")
def releases(ws: Workspace, image: Path) -> Releases:
    """New releases, good and bad, made out of the image."""
    return Releases(ws, image)


@pytest.fixture
def n1(machines: Machines) -> Node:
    return machines.n1


@pytest.fixture
def n2(machines: Machines) -> Node:
    return machines.n2
