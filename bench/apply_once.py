"""One update by the engine, alone in its process, its figures printed as JSON: what `bench.update_apply` starts.

It imports nothing but the engine and a few modules that the machine's own Python has too, so that it runs in either.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from orlop.model.release.index import decode
from orlop.model.words.version import Version
from orlop.node.update.blobs.fetch import Fetcher
from orlop.node.update.blobs.source import source
from orlop.node.update.slot.disk import open_disk
from orlop.node.update.slot.esp import EspFolder
from orlop.node.update.slot.progress import finish
from orlop.node.update.slot.writer import Writer


def apply(disk: str, esp: str, running: str, root_hash: str, index_path: str, url: str) -> dict[str, float]:
    index = decode(Path(index_path).read_bytes())
    used, start = time.process_time(), time.perf_counter()
    opened = open_disk(Path(disk), root_hash)
    writer = Writer(opened, EspFolder(Path(esp)), Version.parse(running))
    fetcher = Fetcher([source(url)])
    writer.prepare(index)
    finish(writer.fill(index, fetcher))
    filled = time.perf_counter()
    finish(writer.verify(index))
    writer.publish(index)
    end = time.perf_counter()
    opened.close()
    return {
        "seconds": end - start,
        "fill": filled - start,
        "processor": time.process_time() - used,
        "fetched": fetcher.bytes_in,
        "memory": int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024,
    }


if __name__ == "__main__":
    print(json.dumps(apply(*sys.argv[1:])))
