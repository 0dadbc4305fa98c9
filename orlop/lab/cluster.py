"""A lab whose machines are a cluster: what each is given, and waiting until it is well.

The first machines are servers, the others workers. Invariant: they are given what `orlop cluster new` writes, as people
give it to theirs; the lab does nothing for the cluster that they would not have.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orlop.cluster import folder as folders
from orlop.cluster.folder import Founded
from orlop.errors import BadInput, OrlopError, TimedOut
from orlop.lab.identity import private_ip
from orlop.lab.machine import Node
from orlop.lab.source import Given, LabSource, Way
from orlop.model.cluster import status as statuses
from orlop.model.cluster.certificates import TOKEN_LIFE
from orlop.model.cluster.names import SIZES, Role
from orlop.model.cluster.status import ClusterStatus
from orlop.provision.translate import translate
from orlop.steps import Steps

COMMAND = ("orlop", "cluster", "--json")
_POLL = 0.2
_ANSWER_SECONDS = 30.0  # an emulated machine takes seconds to start a program


@dataclass(frozen=True)
class LabCluster:
    """`founded` is written into the lab's folder; `given` is what each machine is given, in their order."""

    servers: int
    founded: Founded
    given: tuple[Given, ...]


def plan(name: str, servers: int, workers: int, *, replace_after: str = "", more: str = "") -> LabCluster:
    """Of so many machines. More servers than the store has members wait for a place. `more`: further Butane for each.

    Raises BadInput.
    """
    if servers < 1 or workers < 0:
        raise BadInput(f"--servers {servers} --workers {workers} is not possible", hint="a cluster has a server")
    now = datetime.now(UTC)
    size = max(n for n in SIZES if n <= servers)
    addresses = [private_ip(index) for index in range(1, servers + 1)]
    founded = folders.found(name, addresses[: SIZES[-1]], size, now, replace_after=replace_after)
    texts = [founded.first_server(now + folders.FORM_LIFE), *[founded.server()] * (servers - 1)]
    texts += [founded.worker(founded.token(Role.WORKER, now + TOKEN_LIFE))] * workers
    return LabCluster(servers, founded, tuple(given(text + more) for text in texts))


def given(butane: str) -> Given:
    """What a machine of a lab is given, of a Butane file."""
    made = translate(butane.encode())
    assert made.ignition is not None, made.report
    return Given(LabSource(Way.FW_CFG), made.ignition.encode())


def wait_well(nodes: Sequence[Node], steps: Steps, *, timeout: float) -> ClusterStatus:
    """Until the store has all its members and they answer. `nodes`: servers. Raises TimedOut, with what is wrong."""
    until = time.monotonic() + timeout
    said = ""
    while time.monotonic() < until:
        for node in nodes:
            try:
                found = ask(node)
            except OrlopError as e:
                why = e.message
            else:
                if found.is_well and found.members:
                    return found
                why = f"{node.name}: {found.why}"
            if node is nodes[0] and why != said:
                steps.note(why)
                said = why
        time.sleep(_POLL)
    raise TimedOut(
        f"the cluster was not well within {timeout:.0f} s: {said}", hint="`orlop cluster status n1` says more"
    )


def ask(node: Node) -> ClusterStatus:
    """How the cluster is, as this server sees it. Raises OrlopError."""
    ran = node.run(*COMMAND, timeout=_ANSWER_SECONDS)
    if ran.code not in (0, 1):
        raise OrlopError(f"{node.name}: {ran.err.strip() or ran.out.strip()}")
    return statuses.parse(ran.out.encode())
