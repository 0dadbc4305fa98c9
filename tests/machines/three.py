"""Three healthy machines for whoever needs one, two or three that have booted: restored from one saved lab.

Why one for all: every plan is booted and saved once for each image, and a boot takes a minute without KVM. So they have
what any of these tests needs: the demo, Docker's API, a health check that does what a file in /var tells it to, and an
update engine that does nothing by itself. They have no configuration of a user's, so that one can be put on the ESP,
where a boot from inside reads it; what QEMU hands over would count only once it is started anew. Each has host keys, a
machine id and a secret of its own; two sessions have the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orlop.lab import images
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import ConfigFile, NodeConfig
from orlop.lab.plan import LabPlan
from orlop.workspace import Workspace
from tests.machines.machines import Machines, watched

TOLD = "/var/lib/told"
CHECK = f"""#!/bin/sh
# Is well, unless it is told otherwise for this version.
. /usr/lib/os-release
case $(cat {TOLD}/$IMAGE_VERSION 2> /dev/null) in
    fails) echo "told to fail"; exit 1 ;;
    hangs) exec sleep infinity ;;
esac
"""
# of a boot without a verdict, in seconds, instead of a quarter of an hour; the time for waiting is added to it
PATIENCE = "[Service]\nEnvironment=ORLOP_HANGS=120\n"
SETTINGS = ConfigFile("/etc/orlop/update.toml", b'format = 1\nstrategy = "off"\n', is_default=True)
CONFIG = (
    NodeConfig((SETTINGS,))
    .docker_api()
    .file("/etc/orlop/health.d/10-told", CHECK, 0o755)
    .file("/etc/orlop/health.conf", "TIMEOUT=10\nWAIT=180\n")
    .file("/etc/systemd/system/orlop-health-guard.service.d/test.conf", PATIENCE)
)
ESP_FILE = "/boot/orlop/config.ign"


def plan(ws: Workspace, image: Path, name: str) -> LabPlan:
    """Their plan, the same for all but for the lab's name."""
    return LabPlan(
        images.resolve(ws, str(image)),
        name=name,
        nodes=3,
        cpus=1,
        memory_mib=1024,
        demo=True,
        config=CONFIG,
    )


@contextmanager
def three(ws: Workspace, image: Path, name: str, *, on: int = 3) -> Iterator[Machines]:
    """The machines, the first `on` of them running; their consoles are looked through at the end."""
    names = [f"n{number}" for number in range(1, on + 1)]
    with watched(ws, plan(ws, image, name), is_booted=False, on=names) as there:
        yield there


def configure(node: Node, ignition: bytes) -> None:
    """Give a machine its configuration: every boot from here on reads it."""
    node.sh(f"mkdir -p $(dirname {ESP_FILE}) && cat > {ESP_FILE} && sync", stdin=ignition)
