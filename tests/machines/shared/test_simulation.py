"""A whole machine without a configuration is what `orlop config simulate` says of one that says nothing."""

from __future__ import annotations

from pathlib import Path

from orlop.lab.machine import Node
from orlop.workspace import Workspace
from tests.machines.simulated import is_as_simulated, simulated

HEADER = "variant: orlop\nversion: 1.0.0\n"
# /home: made in a boot, when no user of the configuration has brought it
OF_THE_LAB = frozenset(
    {
        "/home",
        "/etc/containers/systemd/demo.container",
        "/etc/systemd/system/run-media.mount",
        "/etc/systemd/system/sockets.target.wants/podman.socket",
        "/etc/systemd/system/sockets.target.wants/ssh.socket",
        "/etc/hostname",
        "/etc/orlop",
        "/etc/orlop/health.d",
        "/etc/orlop/health.d/10-told",
        "/etc/orlop/health.conf",
        "/etc/orlop/update.toml",
        "/etc/systemd/system/orlop-health-guard.service.d",
        "/etc/systemd/system/orlop-health-guard.service.d/test.conf",
    }
)


def test_the_simulation_was_right(ws: Workspace, image: Path, n1: Node) -> None:
    is_as_simulated(n1, simulated(ws, image, HEADER), OF_THE_LAB)
