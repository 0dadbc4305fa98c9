"""What the tests of clusters on container machines share: programs on a server, and waiting for its words."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orlop.lab.cluster import ask
from orlop.lab.machine import Node
from orlop.model.cluster.status import ClusterStatus

PYTHON = ("/usr/lib/orlop/runtime/usr/bin/python3.13", "-I", "-S", "-B", "-")
SECONDS = 120.0  # for what takes some seconds on a quiet computer
REPOSITORY = Path(__file__).parents[2]
# the store as a program sees it: `hosts` are tried in turn, each for half a second
CLIENT = """
import json, sys, time
from pathlib import Path
from orlop.errors import OrlopError
from orlop.node.cluster import tls
from orlop.node.cluster.etcd import Endpoint

context = tls.context(Path("/run/orlop/cluster/store"))

def any_of(hosts, what, seconds=30.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for host in hosts:
            try:
                return what(Endpoint(host, context, 0.5))
            except OrlopError as e:
                said = e
        time.sleep(0.01)
    raise said
"""
# writes without a pause, and asks every member how it is, until the file is there
WATCHER = """
from concurrent.futures import ThreadPoolExecutor

hosts, until = {hosts!r}, time.monotonic() + {seconds}
stop = Path({stop!r})
stop.unlink(missing_ok=True)
gap, last, n, were_away, at_once = 0.0, time.monotonic(), 0, set(), 0

def answers(host):
    for _ in range(2):  # a busy computer is not one that is away
        try:
            Endpoint(host, context, {each}).status()
            return True
        except OrlopError:
            pass
    return False

with ThreadPoolExecutor(3) as pool:
    while time.monotonic() < until and not stop.exists():
        n += 1
        any_of(hosts, lambda e: e.put("/test/n", str(n)))
        gap, last = max(gap, time.monotonic() - last), time.monotonic()
        asking = list(pool.map(answers, hosts))
        last = time.monotonic()
        away = [host for host, is_there in zip(hosts, asking) if not is_there]
        were_away.update(away)
        at_once = max(at_once, len(away))
        time.sleep(0.02)
print(json.dumps({{"writes": n, "gap": gap, "were_away": sorted(were_away), "away_at_once": at_once}}))
"""


def run(node: Node, script: str, seconds: float = 60.0) -> str:
    """A program on a server, as root, behind CLIENT; what it printed."""
    ran = node.run(*PYTHON, stdin=(CLIENT + script).encode(), timeout=seconds)
    assert ran.code == 0, ran.err
    return ran.out


def hosts(nodes: Sequence[Node]) -> str:
    """As a script has them."""
    return repr([node.ip for node in nodes])


def leader(nodes: Sequence[Node], status: ClusterStatus) -> Node:
    (host,) = (member.host for member in status.members if member.is_leader)
    return next(node for node in nodes if node.ip == host)


def until_said(node: Node, words: str, seconds: float = SECONDS) -> ClusterStatus:
    """Wait until a server says these words of its cluster."""
    end = time.monotonic() + seconds
    while words not in (said := ask(node)).why:
        assert time.monotonic() < end, said.why
        time.sleep(0.2)
    return said


def orlop(*words: str, code: int = 0) -> str:
    """The operator's command, as typed; what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", "orlop", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr
