"""`orlop cluster`: how the cluster is, as this server sees it; a snapshot of its store, taken or begun anew from.

Exit status of `orlop cluster` alone, and of `doctor`: 0 when it is well, 1 when it is not.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from orlop.cluster.settings import ClusterSettings, load
from orlop.errors import BadInput, Busy, Missing, NotAllowed, OrlopError
from orlop.files import replacing
from orlop.model.cluster import doctor
from orlop.model.cluster.names import STATUS, Role
from orlop.model.cluster.status import ClusterStatus, lines, parse, text
from orlop.node.cluster.backup import Told, backup, backup_from_disk
from orlop.node.cluster.examine import gather
from orlop.node.cluster.host import ServerHost
from orlop.node.cluster.resize import resize
from orlop.node.cluster.restore import restore

NOT_WELL = 1
_TOLD_EACH = 64 << 20  # bytes


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    looked = argparse.ArgumentParser(add_help=False)
    looked.add_argument("--json", action="store_true", help="as JSON")
    deeds = parser.add_subparsers(dest="deed", metavar="DEED")
    taken = deeds.add_parser("backup", help="give out a snapshot of its store")
    taken.add_argument("-o", "--output", type=Path, metavar="FILE", help="write it there, not to standard output")
    taken.add_argument("--from-disk", action="store_true", help="of a member that does not answer")
    deeds.add_parser("doctor", parents=[looked], help="every check, and what to do about what is not sound")
    sized = deeds.add_parser("size", help="change how many members its store has")
    sized.add_argument("servers", type=int, metavar="N", help="1, 3 or 5")
    given = deeds.add_parser("restore", help="begin it anew from a snapshot, on a server without data")
    given.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the snapshot; default: standard input")
    given.add_argument("--of", default="", metavar="NAME", help="it is a snapshot of another cluster, of this name")


def run(args: argparse.Namespace) -> int:
    deed = {"backup": _backup, "restore": _restore, "doctor": _doctor, "size": _size}.get(args.deed or "", _status)
    return deed(args)


def _status(args: argparse.Namespace) -> int:
    status = read(ServerHost())
    print(text(status), end="") if args.json else print("\n".join(lines(status, datetime.now(UTC))))
    return 0 if status.is_well else NOT_WELL


def read(host: ServerHost) -> ClusterStatus:
    """What the server wrote down last. Raises Missing, BadInput."""
    server_settings(host)
    try:
        return parse(host.path(STATUS).read_bytes())
    except FileNotFoundError:
        hint = "`systemctl status orlop-cluster` says how that service is"
        raise Missing("this server has not looked at its cluster since it was started", hint=hint) from None


def server_settings(host: ServerHost) -> ClusterSettings:
    """Raises Missing when this is no server, BadInput."""
    settings = load(host.top)
    if settings.role is Role.WORKER:
        raise Missing("this machine is a worker: it does not see the members of the store", hint="ask a server")
    return settings


def _doctor(args: argparse.Namespace) -> int:
    host = ServerHost()
    settings = server_settings(host)
    _must_be_root("may look at all of it")
    findings = doctor.examine(gather(host, settings))
    print(doctor.document(findings), end="") if args.json else print("\n".join(doctor.lines(findings)))
    return 0 if doctor.worst(findings) is doctor.Grade.GOOD else NOT_WELL


def _size(args: argparse.Namespace) -> int:
    host = ServerHost()
    settings = server_settings(host)
    _must_be_root("changes the size of a cluster")
    print(resize(host, settings, args.servers))
    return 0


def _backup(args: argparse.Namespace) -> int:
    host = ServerHost()
    server_settings(host)
    _must_be_root("takes a snapshot")
    take = backup_from_disk if args.from_disk else backup
    with ExitStack() as held:
        into: IO[bytes] = sys.stdout.buffer
        if args.output:
            if args.output.exists():
                raise Busy(f"{args.output} is there already", hint="-o takes another file; none is written over")
            into = held.enter_context(replacing(args.output, mode=0o600))
        elif sys.stdout.isatty():
            raise BadInput("a snapshot is not for a terminal", hint="-o FILE, or lead it into a file")
        try:
            size = take(host, into, _progress())
            into.flush()
        except OSError as e:
            raise OrlopError(f"{e.filename or args.output or 'standard output'}: {e.strerror}") from None
    print(f"a snapshot of {size} bytes", file=sys.stderr)
    return 0


def _progress(each: int = _TOLD_EACH) -> Told:
    told = 0

    def tell(got: int, left: int) -> None:
        nonlocal told
        if got - told >= each:
            told = got
            print(f"{got / 1e6:.0f} of {(got + left) / 1e6:.0f} MB", file=sys.stderr, flush=True)

    return tell


def _restore(args: argparse.Namespace) -> int:
    host = ServerHost()
    settings = server_settings(host)
    _must_be_root("restores a cluster")
    try:
        with args.file.open("rb") if args.file else sys.stdin.buffer as source:
            done = restore(host, settings, source, of=args.of)
    except OSError as e:
        raise BadInput(f"{e.filename or args.file or 'standard input'} cannot be read: {e.strerror}") from None
    print(f"cluster {settings.name} begins anew with what it had at revision {done.revision}")
    print(f"  its id is {done.cluster:x}, its only member {done.member}; it goes on after revision {done.next}")
    print("  this server starts it; the other servers join it when they have no data of the old one")
    return 0


def _must_be_root(what: str) -> None:
    if os.geteuid():
        raise NotAllowed(f"only root {what}: it holds everything that the cluster knows")
