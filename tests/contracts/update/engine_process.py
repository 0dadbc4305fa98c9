"""An engine in a process of its own, for tests that kill it: one release from a folder, slowly, until the reboot.

python -m tests.contracts.update.engine_process DISK ESP STATE SERVER VERSION ROOT_HASH INDEX BYTES_A_SECOND
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orlop.model.release.index import Index, decode
from orlop.model.update.decide import Settings
from orlop.model.update.state import Target
from orlop.model.words.version import Version
from orlop.node.update.blobs.fetch import Fetcher, Pace
from orlop.node.update.blobs.source import source
from orlop.node.update.engine import Engine
from orlop.node.update.journal import Journal
from orlop.node.update.outside import Outside, Situation
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.esp import EspFolder
from orlop.node.update.slot.writer import Writer


@dataclass
class Shelf:
    release: Index
    url: str
    rate: int

    def offer(self, _situation: Situation) -> Target:
        return Target(self.release.version, self.release.root_hash)

    def index(self, target: Target, _situation: Situation) -> Index:
        assert target.version == self.release.version
        return self.release

    def fetcher(self, target: Target) -> Fetcher:
        assert target.version == self.release.version
        return Fetcher([source(self.url)], pace=Pace(self.rate))


def main(disk: str, esp: str, state: str, server: str, version: str, root_hash: str, index: str, rate: str) -> None:
    shelf = Shelf(decode(Path(index).read_bytes()), server, int(rate))
    rebooted: list[bool] = []
    writer = Writer(open_disk(Path(disk), root_hash), EspFolder(Path(esp)), Version.parse(version))
    outside = Outside(lambda: datetime.now(UTC), shelf, lambda: rebooted.append(True))
    engine = Engine(writer, Journal(Path(state)), outside, Settings())
    while not rebooted:
        step = engine.step()
        print(step.reason, flush=True)  # noqa: T201
        if engine.memory.failure:
            time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
