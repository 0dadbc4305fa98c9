"""Every write to a booted machine's disk while it updates itself, and the disk as it was before them.

QEMU writes the record (its blklogwrites driver) in the format of Linux's dm-log-writes target: a superblock, then an
entry a write in the order they were done, each a header of one sector and its data. Source: Linux,
Documentation/admin-guide/device-mapper/log-writes.rst and drivers/md/dm-log-writes.c.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.lab.wait import reboot, restart, shut_down
from orlop.machines.ports import LOOPBACK
from orlop.model.release.index import index_name
from orlop.model.words.version import Version
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from proofs.updating import update
from simulators.httpd import serve

SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4
_MAGIC = 0x6A736677736872
_SECONDS = 600.0


@dataclass(frozen=True)
class Logged:
    """`data` is empty for a flush, and for a discard of `size` bytes. A flush comes before the data beside it."""

    at: int
    size: int
    flags: int
    data: bytes

    @property
    def flushes(self) -> bool:
        return bool(self.flags & FLUSH)


def read_log(path: Path) -> Iterator[Logged]:
    """Raises BadInput when it is no such record."""
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        magic, version, count, sector = struct.unpack_from("<QQQI", raw)
        if magic != _MAGIC or version != 1 or sector != SECTOR:
            raise BadInput(f"{path} is not a record of writes in sectors of {SECTOR} bytes")
        at = SECTOR
        for _ in range(count):
            start, sectors, flags, _ = struct.unpack_from("<QQQQ", raw, at)
            at += SECTOR
            size = sectors * SECTOR
            stored = 0 if flags & DISCARD else size
            yield Logged(start * SECTOR, size, flags, raw[at : at + stored])
            at += stored


def record(node: Node, folder: Path, release: Path, steps: Steps) -> dict[str, int]:
    """Update the node, which is on, to `release` and boot that to its blessing; what the engine fetched and reused.

    Leaves `start.raw` and `writes.log` in `folder`, and the node off.
    """
    shut_down(node, timeout=_SECONDS)
    start = folder / "start.raw"
    sdk_run(
        node.paths.ws,
        ["qemu-img", "convert", "-O", "raw", node.at.disk, start],
        what="copying the disk as it is before",
        binds=[folder],
    )
    log = node.at.write_log
    log.touch()
    restart(node, steps, timeout=_SECONDS)
    version = Version.parse(release.name)
    with serve(release) as server:
        url = server.url.replace(LOOPBACK, HOST_FROM_NODE)
        done = update(node, url, (release / index_name(version)).read_bytes())
    verdict = reboot(node, steps, timeout=_SECONDS)
    assert verdict.version == str(version), verdict
    node.sh("systemctl start systemd-bless-boot.service; sync")
    shut_down(node, timeout=_SECONDS)
    log.rename(folder / "writes.log")
    return {name: done[name] for name in ("fetched", "reused", "total")}
