"""Containers as users run them: from a Quadlet file, by hand, through Docker's API."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from orlop.lab import demo
from orlop.lab.machine import Node
from orlop.oci.demo import REF
from orlop.processes import end_group
from tests.machines.machines import Machines

DOCKER_SOCKET = "/run/docker.sock"


def test_the_demo_answers_over_the_forwarded_port(machines: Machines, image: Path) -> None:
    for node in (machines.n1, machines.n2):
        page = demo.fetch(node.port(demo.PORT), timeout=120)
        assert f"<strong>{node.name}</strong>" in page
        assert image.name in page
        assert demo.fetch(node.port(demo.PORT), "/healthz", timeout=10) == "ok\n"


def test_the_demo_is_a_unit_like_any_other(n1: Node) -> None:
    assert n1.sh("systemctl is-active demo.service run-media.mount").split() == ["active"] * 2
    assert (
        n1.sh("systemctl show -p SourcePath --value demo.service").strip() == "/etc/containers/systemd/demo.container"
    )


def test_a_published_port_reaches_a_container_on_its_own_network(n1: Node) -> None:
    n1.sh("systemctl stop demo.service")
    run = f"podman run -d --name bridged -p {demo.PORT}:{demo.PORT} -e MACHINE=bridged {REF}"
    try:
        n1.sh(run, timeout=120)
        assert "<strong>bridged</strong>" in demo.fetch(n1.port(demo.PORT), timeout=60)
        assert n1.sh("podman inspect -f '{{.NetworkSettings.IPAddress}}' bridged").startswith("10.88.")
    finally:
        n1.sh("podman rm -f -t 1 bridged; systemctl start demo.service", timeout=120)


def test_a_container_shares_the_kernel(n1: Node) -> None:
    said = n1.sh(f"podman run --rm --entrypoint /bin/cat {REF} /proc/version", timeout=240)
    assert said == n1.sh("cat /proc/version")


def test_a_container_may_have_users_of_its_own(n1: Node) -> None:
    """From the range in /etc/subuid, far from what useradd hands out."""
    said = n1.sh(f"podman run --rm --userns=auto --entrypoint /bin/cat {REF} /proc/self/uid_map", timeout=240)
    assert said.split()[:2] == ["0", "2147483647"]


def test_a_container_is_kept_in_its_bounds(n1: Node) -> None:
    inside = "id -u; cat /sys/fs/cgroup/memory.max; [ -e /usr/lib/modules ] || echo alone"
    said = n1.sh(f"podman run --rm --memory 64m --entrypoint /bin/sh {REF} -c '{inside}'").split("\n")
    assert said[:3] == ["65534", str(64 << 20), "alone"]


@pytest.fixture
def docker_socket(n1: Node, tmp_path: Path) -> Iterator[Path]:
    """The node's Docker socket, brought here as Docker's own clients do it: over SSH."""
    here = Path("/tmp") / f"orlop-docker-{tmp_path.name}.sock"
    here.unlink(missing_ok=True)
    forward = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{here}:{DOCKER_SOCKET}"]
    child = subprocess.Popen(n1.argv([], extra=forward), stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while not here.exists() and time.monotonic() < end and child.poll() is None:
            time.sleep(0.1)
        assert here.exists()
        yield here
    finally:
        end_group(child)
        here.unlink(missing_ok=True)


def test_docker_s_api_answers_docker_s_client(n1: Node, docker_socket: Path) -> None:
    client = docker.DockerClient(base_url=f"unix://{docker_socket}", timeout=240)
    try:
        assert client.ping()
        about = client.info()
        assert (about["Name"], about["OSType"]) == ("n1", "linux")
        assert REF in [tag for i in client.images.list() for tag in i.tags]
        running = client.containers.run(REF, detach=True, name="by-docker", environment={"MACHINE": "docker"})
        try:
            found = client.containers.get("by-docker")
            assert found.status == "running"
            code, out = found.exec_run(["cat", "/proc/1/cmdline"])
            assert (code, b"demo" in out) == (0, True)
            assert "by-docker" in n1.sh("podman ps --format '{{.Names}}'")
        finally:
            running.remove(force=True)
        assert "by-docker" not in n1.sh("podman ps -a --format '{{.Names}}'")
    finally:
        client.close()


def test_the_docker_socket_is_root_s_alone(n1: Node) -> None:
    assert n1.sh(f"stat -L -c '%U %a' {DOCKER_SOCKET}").strip() == "root 660"
    assert n1.sh("ss -Hltn | grep -c ':237[56]' || true").strip() == "0"
