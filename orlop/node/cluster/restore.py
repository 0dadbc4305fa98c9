"""A whole new cluster from a snapshot: this server becomes its first member. By root, on a server without data.

    receive ──→ judge (model.cluster.restoring) ──→ make (store.snapshot.data) ──→ remember ──→ put in place

What starts it is orlop-cluster, as it starts any member that has data. The other servers join it as they join any
cluster. Invariant: until the last step, a rename, this server has no data of a store, so a restore that was cut off is
asked for again. That it is a member is written down before: a server that was one never makes an empty store.
"""

from __future__ import annotations

import errno
import os
import pwd
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orlop.cluster.settings import ClusterSettings, certificate
from orlop.errors import BadInput, Busy, Missing, NoSpace, OrlopError
from orlop.files import FULL, MAKING, locked, need_space, remove_tree, sweep, sync_dir
from orlop.model.cluster.member import Myself, member_name
from orlop.model.cluster.names import (
    CA_PLACE,
    ID_KEY,
    NAME_KEY,
    PEER_PORT,
    RESTORING,
    STORE_STATE,
    STORE_USER,
    url,
)
from orlop.model.cluster.restoring import RestoringServer, SnapshotOrigin, server_refusal, snapshot_refusal
from orlop.model.cluster.token import der, fingerprint
from orlop.node.cluster import memory as memories
from orlop.node.cluster import tls
from orlop.node.cluster.host import ServerHost, addresses, own_address
from orlop.node.cluster.look import Looker
from orlop.node.cluster.memory import ClusterMemory
from orlop.store.snapshot import contents, data
from orlop.store.snapshot.log import Identity

_PIECE = 1 << 20
_LOG_BYTES = 64_000_000  # which etcd sets aside for its log


@dataclass(frozen=True)
class Restored:
    """`revision`: the last one of the snapshot; `next`: after which the new cluster goes on."""

    cluster: int
    member: str
    revision: int
    next: int


def restore(
    host: ServerHost,
    settings: ClusterSettings,
    source: BinaryIO,
    *,
    of: str = "",
    look: Callable[[ServerHost, ClusterSettings], RestoringServer] | None = None,
    owner: str = STORE_USER,
) -> Restored:
    """`source`: the snapshot, read to its end; `of`: which cluster it is of, when it is not this one; `look`: the
    judgement of what is around this server. Raises Busy, BadInput, Missing, NoSpace, OrlopError.
    """
    with locked(host.path(RESTORING), "restoring this server"):
        server = (look or looked)(host, settings)
        if refusal := server_refusal(server):
            raise refusal
        place = host.path(f"{STORE_STATE}/member")
        uid, gid = _user(owner)
        if not place.parent.exists():
            place.parent.mkdir(parents=True)
            place.parent.chmod(0o750)  # whatever the umask is: orlop-cluster sees by its group whether there are data
            os.chown(place.parent, uid, gid)
        sweep(place)
        work = place.with_name(f"{MAKING}{place.name}-{os.getpid()}")
        try:
            work.mkdir(mode=0o700)
            done = _make(host, settings, server, source, of, work)
            _give(work / place.name, uid, gid)
            memories.write(host.state, ClusterMemory(done.cluster))
            os.rename(work / place.name, place)  # which is refused over what a store has made meanwhile
            sync_dir(place.parent)
        except OSError as e:
            raise _failed(e, place) from None
        finally:
            remove_tree(work)
        return done


def _failed(e: OSError, place: Path) -> OrlopError:
    if e.errno in FULL:
        return NoSpace(f"no space left to restore into {place.parent}", hint="a restore takes three times the snapshot")
    if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
        hint = "for a restore give it `server.bu`, which never makes a store, and reset it"
        return Busy("this server made a store meanwhile", hint=hint)
    return OrlopError(f"{e.filename or place.parent}: {e.strerror}", hint="it may be tried again")


def _make(
    host: ServerHost, settings: ClusterSettings, server: RestoringServer, source: BinaryIO, of: str, work: Path
) -> Restored:
    received = work / "snapshot"
    with received.open("w+b") as f:
        while piece := source.read(_PIECE):
            f.write(piece)
        f.flush()
        need_space(work, f.tell() + _LOG_BYTES, "the store")
        with contents.opened(f, "what was given") as database:
            found = contents.read(database, (NAME_KEY, ID_KEY))
            origin = SnapshotOrigin(found.values.get(NAME_KEY, ""), found.values.get(ID_KEY, ""))
            if refusal := snapshot_refusal(server, origin, of):
                raise refusal
            who = _identity(host, settings)
            data.make(work / "member", database, who, found.revision)
    received.unlink()
    return Restored(who.cluster, who.name, found.revision, found.revision + data.BUMP)


def _identity(host: ServerHost, settings: ClusterSettings) -> Identity:
    """New in each try: what was made of one snapshot twice are two clusters."""
    address = settings.address or own_address(addresses(settings.servers))
    if not address:
        raise Missing("this machine has no address that leads to other servers", hint="`address` in `cluster` says it")
    token = f"{settings.name} restored {secrets.token_hex(16)}"
    return Identity(member_name(host.name(), host.machine()), url(address, PEER_PORT), token)


def looked(host: ServerHost, settings: ClusterSettings) -> RestoringServer:
    """What is around this server. Raises OrlopError when it cannot ask, which is no reason to go on."""
    address = settings.address or own_address(addresses(settings.servers))
    remembered = memories.read(host.state).hosts
    others = [other for other in dict.fromkeys((*addresses(settings.servers), *remembered)) if other != address]
    # as one who has never been a member, and could make a store: whoever has the keys counts, with a quorum or without
    me = Myself(host.machine(), url(address, PEER_PORT), may_form=True)
    found = Looker().look(me, others, tls.context(host.tls), 0)
    return RestoringServer(
        name=settings.name,
        ca=fingerprint(der(certificate(CA_PLACE, host.top))),
        has_data=host.has_data(),
        answers=found.through.host if found.through else "",
        waits=found.view.stranger,
    )


def _user(name: str) -> tuple[int, int]:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise BadInput(f"this machine has no user {name}", hint="it is not a machine of Orlop") from None
    return found.pw_uid, found.pw_gid


def _give(folder: Path, uid: int, gid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid)
