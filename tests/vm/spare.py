"""A machine of its own for tests that change what the shared ones must keep: their /etc, their /var, their identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orlop.errors import Missing
from orlop.lab import images, lab
from orlop.lab.lab import Plan
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import NodeConfig
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import VERDICT_SECONDS

# Records what is expected where the configuration stage has not done so.
RECORD = """[Unit]
ConditionPathExists=!/run/orlop/expected.json
DefaultDependencies=no
After=sysinit.target
Before=basic.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/orlop/runtime/usr/bin/python3.13 -I -S -B -c \
"from pathlib import Path; from orlop.node import drift; from orlop.model.drift import Origin, Owner; \
drift.record(Path('/'), {'/etc/orlop-test.conf': Owner(Origin.CONFIGURATION, 'storage.files.0'), \
'/var/lib/orlop-test.conf': Owner(Origin.CONFIGURATION, 'storage.files.1')}, sealed=False)"
"""


@contextmanager
def spare(ws: Workspace, image: Path, name: str) -> Iterator[Node]:
    """A booted machine in a lab called `name`, with a file of its configuration in /etc and one in /var."""
    config = NodeConfig().unit("test-record.service", RECORD, wanted_by="sysinit.target")
    config = config.file("/etc/orlop-test.conf", "etc\n").file("/var/lib/orlop-test.conf", "var\n")
    with suppress(Missing):
        lab.down(ws, name)
    plan = Plan(images.resolve(ws, str(image)), name=name, config=config)
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there.node("n1")
