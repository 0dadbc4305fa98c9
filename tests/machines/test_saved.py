"""A lab with two booted machines, saved and restored twice side by side: all goes on where it was, each for itself.

That a restored machine boots again as any other is in `shared/test_boot.py`, whose machines are restored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from orlop.errors import Missing
from orlop.lab import demo, lab
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.saved import restored
from tests.machines.three import plan

LAB, SAVED = "vmsaved", "vmsaved"
COPIES = ("vmsaved-a", "vmsaved-b")
PORT = 9000
ANSWER_SECONDS = 120.0
CLOCK_SECONDS = 2.0
# a connection over the private network, on which n1 counts up and n2 writes down what it hears; nc ends with its input
HEAR = f"systemd-run -q --unit=hears podman exec demo sh -c 'sleep 9999 | nc -l -p {PORT}'"
SAY = (
    "systemd-run -q --unit=says podman exec demo "
    f"sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 1; done | nc 10.77.0.12 {PORT}'"
)

LISTENS = f'until [ -n "$(ss -Hltn sport = :{PORT})" ]; do sleep 0.2; done'


def pair(there: Lab) -> list[Node]:
    """Its machines that run; the third one is off."""
    return there.nodes[:2]


def heard(there: Lab) -> list[int]:
    """What n2 has heard so far."""
    said = there.node("n2").sh("journalctl -u hears -o cat --no-pager")
    return [int(line) for line in said.splitlines() if line.isdigit()]


def connection(there: Lab) -> str:
    """Both ends of the connection, as n1 sees them."""
    return " ".join(there.node("n1").sh(f"ss -Htn state established dst 10.77.0.12:{PORT}").split()[2:4])


def hears_more(there: Lab) -> list[int]:
    before, until = heard(there), time.monotonic() + ANSWER_SECONDS
    while len(now := heard(there)) < len(before) + 2:
        assert time.monotonic() < until, f"nothing but {now} was heard in {there.name}"
        time.sleep(1.0)
    return now


def clear(ws: Workspace) -> None:
    for name in (LAB, *COPIES):
        with suppress(Missing):
            lab.down(ws, name)
    with suppress(Missing):
        lab.remove_saved(ws, SAVED)


@pytest.fixture(scope="module")
def original(ws: Workspace, image: Path) -> Iterator[Lab]:
    """Saved under the name SAVED while it talked to itself; afterwards it got a file that was not saved. It was
    restored itself, from machines that were saved when they had booted.
    """
    clear(ws)
    try:
        with restored(ws, plan(ws, image, LAB), on=("n1", "n2")) as there:
            for node in pair(there):
                demo.fetch(node.port(demo.PORT), timeout=ANSWER_SECONDS)
            there.node("n2").sh(HEAR)
            there.node("n2").sh(LISTENS, timeout=ANSWER_SECONDS)
            there.node("n1").sh(SAY)
            hears_more(there)
            lab.save(ws, Steps(), LAB, SAVED, timeout=ANSWER_SECONDS)
            there.node("n1").sh("echo later > /var/lib/later")
            yield there
    finally:
        clear(ws)


@pytest.fixture(scope="module")
def copies(ws: Workspace, original: Lab) -> Iterator[list[Lab]]:  # noqa: ARG001 — it must be there
    time.sleep(5.0)  # a time that their clocks must have caught up
    with ExitStack() as stack:
        yield [
            stack.enter_context(lab.restored(ws, Steps(), SAVED, name=name, timeout=ANSWER_SECONDS)) for name in COPIES
        ]


def clock_error(node: Node, ask: str = "date +%s.%N") -> float:
    """By how many seconds the machine's clock is off, at least."""
    before = time.time()
    said = float(node.sh(ask))
    return max(before - said, said - time.time(), 0.0)


def test_what_was_on_is_on_and_what_was_off_is_off(original: Lab, copies: list[Lab]) -> None:
    for there in (original, *copies):
        assert [node.running for node in there.nodes] == [True, True, False]


def test_the_clocks_are_right(original: Lab, copies: list[Lab]) -> None:
    for there in (original, *copies):
        for node in pair(there):
            assert clock_error(node) < CLOCK_SECONDS, (there.name, node.name)
            assert clock_error(node, "cat /sys/class/rtc/rtc0/since_epoch") < CLOCK_SECONDS + 2


def test_the_containers_answer(original: Lab, copies: list[Lab]) -> None:
    for there in (original, *copies):
        for node in pair(there):
            assert node.name in demo.fetch(node.port(demo.PORT), timeout=ANSWER_SECONDS)


def test_connections_between_the_machines_go_on(original: Lab, copies: list[Lab]) -> None:
    ends = {connection(there) for there in (original, *copies)}
    assert len(ends) == 1
    assert f":{PORT}" in ends.pop()
    for there in (original, *copies):
        said = hears_more(there)
        assert said == list(range(1, len(said) + 1)), "nothing lost, nothing twice"


def test_what_one_writes_the_others_do_not_have(original: Lab, copies: list[Lab]) -> None:
    one, other = (there.node("n1") for there in copies)
    assert one.run("test", "-e", "/var/lib/later").code == 1
    one.sh("echo own > /var/lib/own; sync")
    for node in (other, original.node("n1")):
        assert node.run("test", "-e", "/var/lib/own").code == 1
    assert original.node("n1").sh("cat /var/lib/later") == "later\n"
