"""An update on a machine where something is in the way: no room, a clock that is wrong, a lock that others hold.

One machine, in the order of this file; each test leaves it healthy. What the engine may do there is looked at first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import demo
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.workspace import Workspace
from simulators.fleetlock import lock_service
from simulators.variants import Releases
from tests.machines.machines import Machines
from tests.machines.updates import UNSEAL, WAIT_SECONDS, arrives, ask_for, served, slot, stage, status, updating

LAB = "troubles"
IDLE_KIB = 40 * 1024
EXPOSURE = 3.0
ASK_METRICS = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('/run/orlop/update.sock'); "
    "s.sendall(b'GET /metrics HTTP/1.0\\r\\n\\r\\n'); f = s.makefile(); print(f.read())"
)
PYTHON = "/usr/lib/orlop/runtime/usr/bin/python3.13 -I -S -B"
# all but the last MiB are only set aside: writing gigabytes takes an emulated machine a minute
SET_ASIDE = (
    "import os; s = os.statvfs('/var'); f = os.open('/var/filler', os.O_WRONLY | os.O_CREAT); "
    "os.posix_fallocate(f, 0, s.f_bfree * s.f_frsize - (64 << 20))"
)
FILL = f'{PYTHON} -c "{SET_ASIDE}"; cat /dev/zero 2> /dev/null >> /var/filler; sync; true'
FILE = "/var/lib/kept"


@pytest.fixture(scope="module")
def machine(ws: Workspace, image: Path) -> Iterator[Machines]:
    with updating(ws, image, LAB) as there:
        yield there


@pytest.fixture
def node(machine: Machines) -> Node:
    return machine.n1


def engine(node: Node, what: str) -> str:
    """A property of the service, as systemd knows it."""
    return node.sh(f"systemctl show -P {what} orlop-update.service").strip()


def test_the_engine_is_confined_and_small(node: Node) -> None:
    pid = engine(node, "MainPID")
    about = node.sh(f"cat /proc/{pid}/status")
    values = dict(line.split(":\t", 1) for line in about.splitlines() if ":\t" in line)
    uid = node.sh("id -u orlop-update").strip()
    assert values["Uid"].split() == [uid] * 4 and uid != "0"
    for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(values[name], 16) == 0, name
    assert values["Seccomp"] == "2" and values["NoNewPrivs"] == "1"
    assert int(values["VmRSS"].split()[0]) <= IDLE_KIB
    said = node.sh("systemd-analyze security --no-pager orlop-update.service").splitlines()[-1]
    assert float(said.split("orlop-update.service: ")[1].split()[0]) <= EXPOSURE, said
    programs = node.sh(f"find /proc/{pid}/root/usr/bin -type f -perm /111").split()
    assert [program.rpartition("/")[2] for program in programs] == ["python3.13"], "nothing else is there to be started"
    refused = node.run("nsenter", "-t", pid, "-m", "-S", uid, "-G", uid, "/usr/bin/python3.13", "-I", "-S", "-B", "-c",
                       "open('/var/lib/orlop/identity/x', 'w')")  # fmt: skip
    assert refused.code != 0 and ("Read-only" in refused.err or "Permission denied" in refused.err)


def test_everybody_reads_and_only_root_changes(node: Node) -> None:
    said = node.sh(f"{PYTHON} -c {ASK_METRICS!r}")
    assert 'orlop_update_state{state="idle"} 1' in said and "orlop_update_running_blessed 1" in said
    as_nobody = f"setpriv --reuid 65534 --regid 65534 --clear-groups {PYTHON} -m orlop.node"
    assert "running, blessed" in node.sh(f"{as_nobody} status")
    ran = node.run("sh", "-c", f"{as_nobody} hold")
    assert ran.code == 2 and "only root may change anything" in ran.err
    line = node.sh("systemctl status orlop-update.service --no-pager")
    assert 'Status: "' in line and status(node)["reason"] in line


def test_an_esp_without_room_is_said_and_nothing_is_changed(node: Node, releases: Releases) -> None:
    before = status(node)["slots"]
    node.sh("dd if=/dev/zero of=/boot/filler bs=1M 2>/dev/null; sync; true")
    try:
        with served(releases.make(1)) as release:
            code, said = ask_for(node, release, "--no-reboot")
        assert code == 2 and "the ESP has" in said and "remove what is not Orlop's" in said, said
        assert status(node)["slots"] == before
    finally:
        node.sh("rm -f /boot/filler; sync")


@pytest.mark.parametrize(("number", "wrong"), [(1, "2001-01-01"), (2, "2071-01-01")])
def test_a_clock_that_is_wrong_by_years_does_not_stop_what_was_asked_for(
    node: Node, releases: Releases, number: int, wrong: str
) -> None:
    """The first of them is the one for which there was no room; the second takes its place, once it is staged."""
    node.sh(f"systemctl stop systemd-timesyncd.service; date -s {wrong}")
    try:
        with served(releases.make(number)) as release:
            stage(node, release)
    finally:
        node.sh(f"date -s @{int(time.time())}; systemctl start systemd-timesyncd.service")
    assert status(node)["state"]["version"] == str(release.version)


@pytest.mark.follows("test_a_clock_that_is_wrong_by_years_does_not_stop_what_was_asked_for")
def test_a_full_var_refuses_what_cannot_be_remembered_and_keeps_no_staged_version_down(
    machine: Machines, releases: Releases
) -> None:
    node, staged = machine.n1, releases.version(2)
    node.sh(FILL)
    before = status(node)["state"]
    assert before["is"] == "staged" and before["version"] == str(staged)
    with served(releases.make(3)) as release:
        code, said = ask_for(node, release, "--no-reboot")
    assert code == 2 and "no space left to write /var/lib/orlop/update" in said, said
    assert slot(status(node), staged)["tries_left"] == 3  # on the disk nothing has changed
    with machine.expect(
        node, "failed to start", "dependency failed"
    ) as start:  # what needs room, while it is waited for
        node.run("systemctl", "reboot")
        until = time.monotonic() + WAIT_SECONDS
        while not (waits := re.search(r"orlop-health: waiting up to 180 s .*", node.console_text(start))):
            assert time.monotonic() < until, node.console_text(start)[-2000:]
            time.sleep(1)
        assert "/var is full: " in waits[0]
        node.wait_reached()
        assert "/var is full" in status(node)["health"]["reason"]
        node.sh("rm /var/filler")
        arrives(node, staged, start)
    assert status(node)["denied"] == []


def test_a_reboot_waits_for_a_lock_and_gives_it_back_when_all_is_well(node: Node, releases: Releases) -> None:
    """After the test before it this is the second update in a row: into the slot that the first one came from."""
    node.sh(f"echo precious > {FILE}")
    with lock_service(holder="somebody else") as service, served(releases.make(3)) as release:
        table = f'[lock]\\nurl = "http://{HOST_FROM_NODE}:{service.port}"\\ngroup = "web"\\n'
        node.sh(f"{UNSEAL}; printf 'format = 1\\nstrategy = \"immediate\"\\n{table}' > /etc/orlop/update.toml")
        node.sh("systemctl restart orlop-update.service")
        start = node.console_size()
        code, said = ask_for(node, release)
        assert code == 0 and "the slot is held by somebody else" in said, said
        found = status(node)
        assert found["state"]["is"] == "staged" and found["retry_at"]
        assert "somebody else" in found["reason"]
        service.holder = ""
        # the new boot reads its settings from the configuration, where there is no lock: it remembers that it has one
        until = time.monotonic() + WAIT_SECONDS
        while not service.holder:
            assert time.monotonic() < until, status(node)
            time.sleep(1)
        arrives(node, release.version, start)
        ids = {who for _, who, _ in service.asked}
        assert len(ids) == 1 and {group for _, _, group in service.asked} == {"web"}
        assert slot(status(node), release.version)["blessed"]
        assert node.sh(f"cat {FILE}") == "precious\n"
        assert str(release.version) in demo.fetch(node.port(demo.PORT), timeout=120)
