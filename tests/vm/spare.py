"""A machine of its own for tests that change what the shared ones must keep: their /etc, their /var, their identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orlop.errors import Missing
from orlop.lab import images, lab
from orlop.lab.lab import Plan
from orlop.lab.machine import Node
from orlop.lab.source import Given, Source, Way
from orlop.provision.translate import translate
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import VERDICT_SECONDS

CONFIG = b"""variant: orlop
version: 1.0.0
storage:
  files:
    - {path: /etc/orlop-test.conf, mode: 0644, contents: {inline: "etc\\n"}}
    - {path: /var/lib/orlop-test.conf, mode: 0644, overwrite: true, contents: {inline: "var\\n"}}
"""


@contextmanager
def spare(ws: Workspace, image: Path, name: str) -> Iterator[Node]:
    """A booted machine in a lab called `name`, whose configuration has a file in /etc and one in /var."""
    ignition = translate(CONFIG).ignition
    assert ignition is not None
    with suppress(Missing):
        lab.down(ws, name)
    given = Given(Source(Way.FW_CFG), ignition.encode())
    plan = Plan(images.resolve(ws, str(image)), name=name, cpus=1, memory_mib=1024, given=(given,))
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there.node("n1")
