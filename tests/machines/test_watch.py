"""A machine that breaks long after its boot was good, and one whose boot left out what was wanted.

The file system's errors are seen on a restored machine, which reboots once; the rest on container machines, in seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, Missing, TimedOut
from orlop.lab import images, lab
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.wait import reboot, wait_verdict
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.booting import butane
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.spare import spare
from tests.machines.updates import status
from tests.unit.node.states import is_known

NOTICED = 60.0  # seconds within which what breaks must be said
ERRORS = "/sys/fs/ext4/$(basename $(readlink /sys/dev/block/$(mountpoint -d /var)))"
WANTED = "[Install]\nWantedBy=multi-user.target\n"
TRUE = "[Service]\nType=oneshot\nExecStart=/usr/bin/true\n"


def units(*given: tuple[str, str]) -> str:
    """As Butane: names and texts; one without a text is enabled, and so is one that says who wants it."""
    lines = [
        f"    - {{name: {n}, enabled: {str(WANTED in t or not t).lower()}, contents: {json.dumps(t)}}}"
        for n, t in given
    ]
    return "\n".join(["systemd:", "  units:", *lines, ""]).replace(', contents: ""', "")


LACKS = (
    units(
        ("missing.service", ""),
        ("near.service", f"[Unit]\nRequires=gone.service\n{TRUE}{WANTED}"),
        ("far.service", f"[Unit]\nRequires=breaks.service\nAfter=breaks.service\n{TRUE}{WANTED}"),
        ("breaks.service", TRUE.replace("true", "false")),
        ("unwilling.service", f"[Unit]\nConditionPathExists=/nowhere\n{TRUE}{WANTED}"),
        ("done.service", TRUE + WANTED),
    )
    + f"""\
    - name: orlop-watch.service
      dropins: [{{name: often.conf, contents: "[Service]\\nEnvironment=ORLOP_WATCH_EVERY=3\\n"}}]
quadlets:
  - {{name: odd.container, contents: {json.dumps(f"[Container]{chr(10)}Image=x{chr(10)}Odd=yes{chr(10)}{WANTED}")}}}
  - {{name: db.container, contents: {json.dumps(f"[Container]{chr(10)}Image=x{chr(10)}StopTimeout=120{chr(10)}")}}}
"""
)
LEFT_OUT = [
    "far.service was not started: it needs breaks.service, which failed",
    "near.service was not started: it needs gone.service, which is not there",
    "missing.service is enabled, and there is no such unit",
    "odd.service is not there: podman did not understand /etc/containers/systemd/odd.container",
]
HANGS = (
    units(("hangs.service", f"{TRUE.replace('true', 'sleep 4321')}TimeoutStartSec=infinity\n{WANTED}"))
    + """\
    - name: orlop-late.timer
      dropins: [{name: soon.conf, contents: "[Timer]\\nOnActiveSec=\\nOnActiveSec=3s\\nAccuracySec=1s\\n"}]
"""
)
DIE = """\
for n in 1 2 3 4 5 6; do systemctl kill -s SEGV systemd-resolved; sleep 0.3; done
systemctl is-failed systemd-resolved
"""


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with spare(ws, image, "vmwatch") as there:
        yield there


@contextmanager
def container(ws: Workspace, image: Path, config: str, timeout: float = VERDICT_SECONDS) -> Iterator[Node]:
    """A container machine whose boot is not good."""
    with suppress(Missing):
        lab.down(ws, "vmwatchc")
    given = (Given(LabSource(Way.FW_CFG), butane(config)),)
    there = lab.up(ws, Steps(), LabPlan(images.resolve(ws, str(image)), "vmwatchc", containers=1, given=given))
    try:
        with suppress(CommandFailed, TimedOut):
            wait_verdict(there.node("n1"), Steps(), timeout=timeout)
        yield there.node("n1")
    finally:
        lab.down(ws, "vmwatchc")


def until(holds: Callable[[], bool], seconds: float = NOTICED) -> float:
    """Wait for it; after how many seconds it was so."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.5)
    return time.monotonic() - began


def now(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/watch.json"))
    return found


def test_a_clock_that_no_server_confirmed_is_not_kept(node: Node) -> None:
    """One in the future would come back at each start: only what a server said is written down."""
    kept = "stat -c %Y /var/lib/systemd/timesync/clock"
    before = node.sh(kept)
    node.sh("date -s @$(($(date +%s) + 7200)); systemctl restart systemd-timesyncd")
    assert node.sh(kept) == before
    assert int(before) < time.time()
    node.sh("date -s @$(($(date +%s) - 7200))")


def test_errors_of_var_are_noticed_said_and_mended_by_a_reboot(node: Node) -> None:
    assert not {name for name in node.sh("cd /var/lib/orlop; find . -type f").split() if not is_known(name[2:])}
    until(lambda: status(node)["troubles"] == [])  # the test before it has started the clock's service anew
    since = node.console_size()
    node.sh(f"echo x > {ERRORS}/trigger_fs_error")
    until(lambda: "orlop-watch: /var has errors (1 noted by the kernel)" in node.console_text(since), NOTICED)
    assert node.run("touch", "/var/lib/more").code != 0, "nothing is written on to what is damaged"
    found = status(node)
    assert [(t["kind"], t["remedy"]) for t in found["troubles"]] == [("storage", "reboot")]
    assert found["health"]["verdict"] == "good", "the boot was"
    assert "now       /var has errors (1 noted by the kernel): a reboot checks and mends it" in node.sh("orlop status")
    assert found["denied"] == []
    reboot(node, Steps(), timeout=VERDICT_SECONDS)
    node.wait_reached()
    assert node.sh(f"cat {ERRORS}/errors_count; touch /var/lib/more; echo writes") == "0\nwrites\n"
    assert status(node)["troubles"] == []


def test_what_was_wanted_and_is_not_there_is_in_the_verdict_by_name(ws: Workspace, image: Path) -> None:
    with container(ws, image, LACKS) as lacking:
        found = json.loads(lacking.sh("cat /run/orlop/health.json"))
        [wanted] = [check for check in found["checks"] if check["check"] == "wanted"]
        assert wanted["reason"].split("; ") == LEFT_OUT
        assert wanted["kind"] == "workload"
        assert lacking.sh("systemctl show -P TimeoutStopUSec db.service") == "2min 10s\n"
        shares = lacking.sh("df --output=size /tmp /dev/shm /run | tail -n 3").split()
        memory = int(lacking.sh("sed -n 's/^MemTotal: *\\([0-9]*\\) .*/\\1/p' /proc/meminfo"))
        assert sum(map(int, shares)) < memory * 0.7
        dies_and_is_started_again(lacking)


def dies_and_is_started_again(node: Node) -> None:
    """A service of the image, which systemd has given up."""
    until(lambda: node.run("sh", "-c", DIE).out.endswith("failed\n"))
    until(lambda: "systemd-resolved.service" in now(node)["reason"])
    until(lambda: node.run("systemctl", "-q", "is-active", "systemd-resolved").code == 0)
    until(lambda: "systemd-resolved.service" not in now(node)["reason"])


def test_a_workload_that_does_not_come_up_keeps_nothing_else_away(ws: Workspace, image: Path) -> None:
    with container(ws, image, HANGS, timeout=3) as node:
        until(lambda: node.run("test", "-e", "/run/orlop/watch.json").code == 0)
        said = now(node)["reason"]
        assert said.startswith("the boot is not over: ") and "hangs.service" in said
        assert node.sh("systemctl is-active systemd-logind.service") == "active\n"
        assert node.run("systemctl", "-q", "is-active", "multi-user.target").code != 0
