"""A snapshot of the store, given out by a server: of the store that runs, or of what a stopped one left on the disk.

A member that runs gives its own snapshot, be it without a quorum. One that was started again and waits for the others
does not answer; what it holds is in its database all the same, but for the last tenth of a second, which is in its log
alone. Both come in one form: etcd's database, and its SHA-256 at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO

from orlop.errors import BadInput, Busy, Missing, OrlopError
from orlop.model.cluster.names import STORE_STATE
from orlop.net.errors import Unreachable
from orlop.node.cluster import memory as memories
from orlop.node.cluster import tls
from orlop.node.cluster.etcd import Endpoint
from orlop.node.cluster.host import ServerHost
from orlop.node.cluster.look import LOCAL
from orlop.store.snapshot import contents, data
from orlop.store.snapshot.bolt import BoltFile

_PIECE = 1 << 20
Told = Callable[[int, int], None]


def backup(host: ServerHost, into: IO[bytes], told: Told) -> int:
    """Of this server's member, else of another one that answers; returns its bytes. Raises Unreachable, OrlopError."""
    hosts = dict.fromkeys((LOCAL, *memories.read(host.state).hosts))
    found, said = None, ""
    for each in hosts:
        endpoint = Endpoint(each, tls.context(host.tls))
        try:
            endpoint.status()
        except OrlopError as e:
            said = said or e.message
        else:
            found = endpoint
            break
    if found is None:
        raise Unreachable(
            f"no member of the store answers: {said}",
            hint="--from-disk takes what this server's member has on its disk",
        )
    return found.snapshot(into, told)


def backup_from_disk(host: ServerHost, into: IO[bytes], told: Told) -> int:
    """Of the database of this server's member, which does not answer. Raises Busy, Missing, BadInput, OSError."""
    place = host.path(f"{STORE_STATE}/member/{data.SNAP}/{data.DATABASE}")
    if _answers(host):
        raise Busy("this server's member answers", hint="leave --from-disk out")
    try:
        with place.open("rb") as f:
            whole = memoryview(mmap(f.fileno(), 0, access=ACCESS_READ))
    except (FileNotFoundError, ValueError):  # ValueError: it is empty
        raise Missing(f"this server has no data of a store: {place} is not there, or empty") from None
    _judge(whole, place)
    sum_ = hashlib.sha256()
    for at in range(0, len(whole), _PIECE):
        sum_.update(whole[at : at + _PIECE])
        into.write(whole[at : at + _PIECE])
        told(at, len(whole) - at)
    into.write(sum_.digest())
    return len(whole) + sum_.digest_size


def _answers(host: ServerHost) -> bool:
    try:
        Endpoint(LOCAL, tls.context(host.tls)).status()
    except OrlopError:
        return False
    return True


def _judge(whole: memoryview, place: Path) -> None:
    """It is read from its first page to its last, before any of it is given out."""
    try:
        contents.read(BoltFile(whole), ())
    except BadInput as e:
        raise BadInput(f"{place} is damaged: {e.message}", hint="restore from an earlier snapshot") from None
