"""`orlop cluster`: how the cluster is, as this machine sees it. Exit status 0 when it is well, 1 when not."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from orlop.cluster.settings import load
from orlop.errors import Missing
from orlop.model.cluster.names import STATUS, Role
from orlop.model.cluster.status import ClusterStatus, lines, parse, text
from orlop.node.cluster.host import ServerHost

NOT_WELL = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    status = read(ServerHost())
    print(text(status), end="") if args.json else print("\n".join(lines(status, datetime.now(UTC))))
    return 0 if status.is_well else NOT_WELL


def read(host: ServerHost) -> ClusterStatus:
    """What the server wrote down last. Raises Missing, BadInput."""
    settings = load(host.top)
    if settings.role is Role.WORKER:
        raise Missing("this machine is a worker: it does not see the members of the store", hint="ask a server")
    try:
        return parse(host.path(STATUS).read_bytes())
    except FileNotFoundError:
        hint = "`systemctl status orlop-cluster` says how that service is"
        raise Missing("this server has not looked at its cluster since it was started", hint=hint) from None
