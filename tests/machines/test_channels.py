"""Three machines on three channels follow releases by themselves: nobody asks them for anything.

They are restored and given their channels, and go through all of it in the order of this file. n1 is on alpha, n2 on
beta; n3, on stable, sleeps through the first part of it, and through two rotations of the root keys. Only `orlop
release` says what happens, on the publisher's side. One release is enough: it reaches n1, is on its way to n2, and
reaches n3; then it is halted and pulled back, and n1 is what it was.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import OrlopError
from orlop.lab.machine import Node
from orlop.lab.saved import clock
from orlop.machines import qmp
from orlop.model.words.version import Version
from orlop.provision.translate import translate
from orlop.workspace import Workspace
from simulators.variants import Releases
from tests.machines.machines import Machines
from tests.machines.publisher import Publisher, publishing
from tests.machines.three import configure, three
from tests.machines.updates import UNSEAL, arrives, status

pytestmark = pytest.mark.follows
LAB = "channels"
CHANNELS = ("alpha", "beta", "stable")
ANSWER_SECONDS = 180.0
FIVE_DAYS = "24:20,48:40,72:60,96:80,120:100"
NOW = ("--waves", "at-once")
BARE = ("--patches", "0")
ROOT = "/var/lib/orlop/update/releases/root.json"


@pytest.fixture(scope="module")
def publisher(ws: Workspace, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """Every channel has the version that the machines run."""
    with publishing(ws, tmp_path_factory.mktemp("publisher") / "release") as there:
        there.release("publish", str(image), *NOW, *BARE)
        for source, target in itertools.pairwise(CHANNELS):
            there.release("promote", source, target, *NOW, *BARE)
        yield there


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path, publisher: Publisher) -> Iterator[Machines]:
    with three(ws, image, LAB) as there:
        for node, channel in zip(there.lab.nodes, CHANNELS, strict=True):
            follow(node, publisher, channel)
        yield there


def follow(node: Node, publisher: Publisher, channel: str) -> None:
    """Give a machine that has booted the configuration of one that follows the channel; until it boots again, what that
    says lies where it would.
    """
    made = translate(publisher.follower(channel).encode())
    assert made.ignition is not None, made.report.entries
    configure(node, made.ignition.encode())
    files = {file["path"]: file["contents"] for file in json.loads(made.ignition)["storage"]["files"]}
    assert files.keys() == {"/etc/orlop/update.toml", "/etc/orlop/root.json"}
    for path, contents in files.items():
        with urllib.request.urlopen(contents["source"]) as answer:
            data = answer.read()
        node.sh(f"{UNSEAL}; cat > {path}", stdin=gzip.decompress(data) if contents["compression"] else data)
    node.sh("systemctl restart orlop-update.service")


@pytest.fixture
def n3(machines: Machines) -> Node:
    return machines.lab.node("n3")


def waits_for(node: Node, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first status for which it is so."""
    until = time.monotonic() + ANSWER_SECONDS
    found: dict[str, Any] = {}
    while time.monotonic() < until:
        with suppress(OrlopError, ValueError):
            found = status(node)
            if is_so(found):
                return found
        time.sleep(5.0)  # asking costs an emulated machine a second or two
    raise AssertionError(f"{node.name}: {found}")


def answers(node: Node, said: str) -> dict[str, Any]:
    """The status, once it gives this reason."""
    return waits_for(node, lambda found: said in found["reason"])


def after_a_check(node: Node) -> dict[str, Any]:
    """Its status after it has asked, by itself, for what is published now."""
    moment = datetime.now(UTC) + timedelta(seconds=2)
    return waits_for(
        node, lambda found: bool(found["checked_at"]) and datetime.fromisoformat(found["checked_at"]) > moment
    )


def root_of(node: Node) -> int:
    """The version of the root keys that the machine believes: the first, until it has met another."""
    kept = node.sh(f"cat {ROOT} 2> /dev/null || true")
    return int(json.loads(kept)["signed"]["version"]) if kept else 1


def test_all_follow_their_channels_and_rest(n1: Node, n2: Node, n3: Node, releases: Releases) -> None:
    for node, channel in zip((n1, n2, n3), CHANNELS, strict=True):
        answers(node, f"on {channel}: running {releases.base}, the newest")
        assert root_of(node) == 1
    qmp.ask(n3.at.qmp, "stop")  # as a laptop that is closed: without a boot, and without costing anything


def test_what_is_on_alpha_reaches_alpha_alone(n1: Node, n2: Node, publisher: Publisher, releases: Releases) -> None:
    start = n1.console_size()
    said = publisher.release("publish", str(releases.make(1)), *NOW, *BARE)
    assert f"machines on {releases.base}: go to {releases.version(1)}" in said
    for expected in (2, 3):
        publisher.release("rotate-keys", "root")
        assert (publisher.folder / f"repo/metadata/{expected}.root.json").exists()
    arrives(n1, releases.version(1), start)
    assert f"on beta: running {releases.base}, the newest" in after_a_check(n2)["reason"]
    assert root_of(n1) == root_of(n2) == 3


def test_a_wave_says_when_it_comes(n2: Node, publisher: Publisher, releases: Releases) -> None:
    version = releases.version(1)
    publisher.release("promote", "alpha", "beta", "--waves", FIVE_DAYS, *BARE)
    reason = answers(n2, "wave")["reason"]
    found = re.fullmatch(
        rf"on beta; {version} reaches this machine in about (\d+) (h|days|min), wave (\d) of 5", reason
    )
    assert found is not None, reason
    place = position(n2, version)
    assert int(found[3]) == int(place * 5) + 1
    hours = int(found[1]) * {"min": 1 / 60, "h": 1, "days": 24}[found[2]]
    assert hours == pytest.approx(place * 120, abs=13)
    assert reason in n2.sh("orlop status")


def position(node: Node, version: Version) -> float:
    """Where the machine stands among all, as docs/protocol/releases.md says it."""
    secret = bytes.fromhex(node.sh("cat /var/lib/orlop/identity/secret"))
    digest = hashlib.sha256(secret + str(version).encode()).digest()
    return int.from_bytes(digest, "big") / 2**256


def test_promotion_brings_one_that_slept_through_two_rotations(
    n3: Node, publisher: Publisher, releases: Releases
) -> None:
    start = n3.console_size()
    publisher.release("promote", "beta", "stable", *NOW, *BARE)
    qmp.ask(n3.at.qmp, "cont")
    clock.put_right([n3], timeout=ANSWER_SECONDS)
    arrives(n3, releases.version(1), start)
    assert root_of(n3) == 3
    asked = [path for path, _ in publisher.server.asked]
    assert asked.count("metadata/2.root.json") >= 3  # each of them has gone through the one between


def test_a_halt_stops_the_rest(n1: Node, n2: Node, publisher: Publisher, releases: Releases) -> None:
    version = releases.version(1)
    for channel in ("alpha", "beta"):
        publisher.release("halt", channel, "--reason", "containers do not start")
    answers(n2, f"on beta: running {releases.base}; {version} is halted (containers do not start)")
    assert f"on alpha: running {version}, the newest" in after_a_check(n1)["reason"]  # who has it keeps it


def test_a_pull_back_returns_who_has_it(n1: Node, n2: Node, n3: Node, publisher: Publisher, releases: Releases) -> None:
    start = n1.console_size()
    for channel in ("alpha", "beta"):
        publisher.release("pull-back", channel, "--reason", "it loses data", *NOW)
    arrives(n1, releases.base, start)
    for node, channel in ((n1, "alpha"), (n2, "beta")):
        answers(node, f"on {channel}: running {releases.base}; {releases.version(1)} was pulled back (it loses")
    found = answers(n3, f"on stable: running {releases.version(1)}, the newest")
    assert found["denied"] == []


def test_nobody_asked_them_and_none_has_anothers_secret(n1: Node, n2: Node, n3: Node) -> None:
    for node in (n1, n3):
        said = node.sh("journalctl -u orlop-update.service -o cat --no-pager")
        assert "going from" in said and "asked to" not in said
    assert len({position(node, Version.parse("20261201.1")) for node in (n1, n2, n3)}) == 3
