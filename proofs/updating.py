"""A machine in the lab that updates itself: the engine is run on it, by its own Python, with no daemon around it.

For what must be known of the engine alone on a real kernel: the power-cut proof. The machine's own update engine must
not run meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orlop.lab.machine import Node

PYTHON = "/usr/lib/orlop/runtime/usr/bin/python3.13"
_DRIVER = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from orlop.errors import OrlopError
from orlop.model.release import index as indexes
from orlop.model.update.decide import Settings
from orlop.model.update.state import Rebooting, Target
from orlop.model.words.version import Version
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.engine import Engine
from orlop.node.update.outside import Outside
from orlop.node.update.slot.esp import EspFolder
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.journal import Journal
from orlop.node.update.blobs.source import source
from orlop.node.update.slot.writer import Writer

esp, url, text, now = sys.argv[1], sys.argv[2], sys.stdin.buffer.read(), datetime.now(UTC)
index = indexes.decode(text)
words = Path("/proc/cmdline").read_text().split()
running = next(w for w in words if w.startswith("usrhash=")).partition("=")[2]
version = next(
    line.partition("=")[2]
    for line in Path("/usr/lib/os-release").read_text().split()
    if line.startswith("IMAGE_VERSION=")
)

class Shelf:
    def offer(self, situation): return Target(index.version, index.root_hash)
    def index(self, target, situation): return index
    def fetcher(self, target): return Fetcher([source(url)])

done = []
writer = Writer(open_disk(Path("/dev/vda"), running), EspFolder(Path(esp)), Version.parse(version))
outside = Outside(lambda: datetime.now(UTC), Shelf(), lambda: done.append(True))
engine = Engine(writer, Journal(Path("/var/lib/orlop/powercut")), outside, Settings())
steps = []
while not done and len(steps) < 60:
    steps.append(type(engine.step().action).__name__)
    if engine.memory.failure:
        break
progress = writer.progress
print(json.dumps({
    "ready": bool(done), "failure": engine.memory.failure, "steps": steps,
    "fetched": progress.fetched, "reused": progress.reused, "total": progress.total,
}))
"""
ESP = "/boot"


def update(node: Node, url: str, index: bytes, *, timeout: float = 600.0) -> Mapping[str, Any]:
    """Bring the release at `url` into the other slot, to where only the reboot is left. What the engine did."""
    ran = node.run(PYTHON, "-I", "-S", "-B", "-c", _DRIVER, ESP, url, stdin=index, timeout=timeout)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    assert found["ready"], found
    return found
