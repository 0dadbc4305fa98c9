"""What becomes of a boot that is good, bad, hangs or dies: the user's checks, soaking, the way back, and what is left
for the next boot to read. One machine, booted again and again.

A second version is needed only for its place on the ESP: a copy of the UKI under another name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed
from orlop.lab.machine import Node
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.standstill import Standstill
from orlop.lab.wait import wait_verdict
from orlop.machines import console
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.booting import butane, off
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.spare import spare

SOAK = 35
GOOD = f"""\
health:
  soak: {SOAK}s
  checks:
    - name: 10-leaves-a-child
      contents: |
        #!/bin/sh
        echo run >> /run/checked
        setsid sleep 4321 > /dev/null &
        exit 0
"""
BAD = """\
health:
  timeout: 2s
  checks:
    - {name: 10-fails, contents: "#!/bin/sh\\necho looking\\necho \\"no answer on :80\\" >&2\\nexit 4\\n"}
    - {name: 20-hangs, contents: "#!/bin/sh\\ntrap '' TERM\\nsetsid sleep 4321 &\\nwhile :; do sleep 1; done\\n"}
    - {name: 30-good, contents: "#!/bin/sh\\n"}
storage:
  files:
    - {path: /etc/orlop/health.d/40-text, mode: 0644, contents: {inline: "#!/bin/sh\\n"}}
"""
BAD_REASON = (
    "10-fails failed (4): no answer on :80; 20-hangs did not answer within 2 s; "
    "40-text cannot be run: it is not an executable file"
)
INJECTED = """\
storage:
  files:
    - {path: /etc/orlop/health.conf, contents: {inline: "SOAK=$(touch /run/owned)\\n"}}
"""
NO_ENGINE = """\
systemd:
  units:
    - {name: orlop-update.service, mask: true}
    - {name: orlop-update.socket, mask: true}
"""
HANGS = """\
health: {wait: 0s}
systemd:
  units:
    - name: orlop-health.service
      dropins: [{name: hang.conf, contents: "[Service]\\nExecStartPre=/usr/bin/sleep 4321\\n"}]
    - name: orlop-health-guard.service
      dropins: [{name: soon.conf, contents: "[Service]\\nEnvironment=ORLOP_HANGS=60\\n"}]
"""
NO_INITRD = b"""{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/x", "contents":
  {"source": "data:,x", "verification": {"hash": "sha256-%s"}}}]}}""" % (b"0" * 64)

OTHER = "20200101.1"
SELECTED = "/sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
ENTRY = f"tr -d '\\000' < {SELECTED} | tr -cd '[:print:]'"


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with spare(ws, image, "vmhealth") as there:
        there.sh("while ls /boot/EFI/Linux | grep -q +; do sleep 1; done")  # it was saved when its verdict was there
        yield there


@pytest.fixture(scope="module")
def version(image: Path) -> str:
    return image.resolve().name


def start(node: Node, config: bytes) -> None:
    off(node)
    node.reconfigure(Given(LabSource(Way.FW_CFG), config))
    node.start()


def bad(node: Node) -> str:
    """Wait for a bad verdict; its reason."""
    with pytest.raises(CommandFailed, match="judged its boot bad"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    node.wait_reached()
    found = health(node)
    assert found["verdict"] == "bad"
    return str(found["reason"])


def health(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/health.json"))
    return found


def failure(node: Node, version: str) -> str:
    return node.sh(f"cat /var/lib/orlop/failures/{version}.txt")


def count_down(node: Node, version: str, tries: int) -> None:
    """Make the version one that has `tries` left, and leave another on the ESP that systemd-boot may start instead."""
    node.sh(
        f"cd /boot/EFI/Linux; mv orlop_{version}*.efi x; rm -f orlop_*; cp x orlop_{OTHER}.efi; "
        f"mv x orlop_{version}+{tries}-0.efi; sync -f ."
    )


def nothing_is_left(node: Node) -> None:
    """Of what the user's checks start; they run again now and then, so one may be there at this moment."""
    until = time.monotonic() + VERDICT_SECONDS
    while node.run("pgrep", "-f", "[s]leep 4321").code != 1:
        assert time.monotonic() < until
        time.sleep(1)


def wait_boots(node: Node, since: int | None, count: int) -> None:
    """Wait for `count` verdicts since its console had `since` bytes; None: since it was started."""
    until, still = time.monotonic() + count * VERDICT_SECONDS, Standstill(node)
    while len(console.verdicts(node.console_text(since))) < count:
        assert time.monotonic() < until, console.tail(node.console_text(since))
        if still.why(node.console_text(since), time.monotonic()):
            still.cycle()
        time.sleep(0.5)
    node.wait_reached()


@pytest.mark.long
def test_a_settings_file_is_never_evaluated(node: Node) -> None:
    start(node, butane(INJECTED))
    assert bad(node) == "/etc/orlop/health.conf, line 1: SOAK needs a whole number of seconds"
    assert node.run("ls", "/run/owned").code != 0


def test_bad_checks_are_named_and_an_unproven_version_is_left_for_the_other_which_is_left_alone(
    node: Node, version: str
) -> None:
    """Nobody but the guard acts here."""
    count_down(node, version, 1)
    start(node, butane(BAD + NO_ENGINE))
    wait_boots(node, None, 2)
    assert set(node.sh("ls /boot/EFI/Linux").split()) == {f"orlop_{version}+0-1.efi", f"orlop_{OTHER}.efi"}
    first, second = console.verdicts(node.console_text())
    assert (first.good, first.reason) == (False, BAD_REASON)
    # the other is as bad, and proven
    assert node.sh(ENTRY) == f"orlop_{OTHER}.efi"
    assert (second.good, second.reason, health(node)["reason"]) == (False, BAD_REASON, BAD_REASON)
    nothing_is_left(node)
    assert failure(node, version).startswith(f"bad verdict: {BAD_REASON}\n\n")
    assert node.sh("systemctl show -P ConditionResult orlop-health-guard.service").strip() == "no"


def panic(node: Node) -> None:
    """Let its kernel panic, and take its power when it has said so."""
    since, until = node.console_size(), time.monotonic() + VERDICT_SECONDS
    node.run("sh", "-c", "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    while "Rebooting in" not in node.console_text(since):
        assert time.monotonic() < until, console.tail(node.console_text(since))
        time.sleep(0.5)
    node.power_cut()


def test_an_unproven_version_that_hangs_is_left_for_the_other(node: Node, version: str) -> None:
    """Before that the other one has panicked, which the next test reads: so one boot does for both."""
    count_down(node, version, 1)
    node.sh("rm -f /var/lib/orlop/failures/*; sync")
    panic(node)
    start(node, butane(HANGS))
    until = time.monotonic() + VERDICT_SECONDS
    while node.run("sh", "-c", f'test "$({ENTRY})" = orlop_{OTHER}.efi').code != 0:
        assert time.monotonic() < until, console.tail(node.console_text())
        time.sleep(2)
    # the hung one has said why; the proven one hangs as well, and stays
    assert failure(node, version).startswith("no verdict within 60 s of the start\n")
    assert node.run("ls", "/run/orlop/health.json").code != 0
    assert node.sh("systemctl show -P ConditionResult orlop-health-guard.service").strip() == "no"


@pytest.mark.follows("test_an_unproven_version_that_hangs_is_left_for_the_other")
def test_a_panic_leaves_the_kernels_log_under_the_version_that_ran(node: Node, version: str) -> None:
    assert set(node.sh("ls /var/lib/orlop/failures").split()) == {f"{version}.txt", f"{OTHER}.txt"}
    said = failure(node, OTHER)
    assert said.startswith("Kernel panic - not syncing: sysrq triggered crash\n")
    assert "sysrq_handle_crash" in said
    assert node.sh("ls /sys/fs/pstore") == ""


def test_a_boot_that_fails_in_the_initrd_leaves_its_last_words(node: Node, version: str) -> None:
    count_down(node, version, 3)
    start(node, NO_INITRD)
    until = time.monotonic() + VERDICT_SECONDS
    while "orlop-initrd: rebooting" not in node.console_text():  # until it has said everything
        assert node.running and time.monotonic() < until, node.console_text()[-2000:]
        time.sleep(0.5)
    start(node, butane(GOOD))
    wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    said = failure(node, version)
    assert said.startswith("the boot failed in the initrd\n\n")
    assert "orlop-config" in said
    assert node.sh("ls /sys/firmware/efi/efivars").count("OrlopFailure") == 0


@pytest.mark.follows("test_a_boot_that_fails_in_the_initrd_leaves_its_last_words")
def test_a_good_boot_soaks_and_leaves_nothing_running(node: Node, version: str) -> None:
    found = health(node)
    assert (found["verdict"], found["version"], found["reason"], found["soak"]) == ("good", version, "", SOAK)
    assert {"check": "health.d/10-leaves-a-child", "ok": True} in found["checks"]
    assert len(node.sh("cat /run/checked").split()) >= 2  # at once, every 30 seconds, at the end
    nothing_is_left(node)
    assert failure(node, version).startswith("the boot failed in the initrd\n"), "this one left nothing"
    assert set(node.sh("ls /boot/EFI/Linux").split()) == {f"orlop_{version}.efi", f"orlop_{OTHER}.efi"}


@pytest.mark.long
def test_a_kernel_that_hangs_is_reset_by_the_watchdog(node: Node) -> None:
    """A panic after which it stays as it is: nothing of the system runs any more, and nothing of it starts it anew."""
    assert node.sh("cat /sys/class/watchdog/watchdog0/state") == "active\n"
    since = node.console_size()
    node.sh("echo 0 > /proc/sys/kernel/panic; sync")
    node.run("sh", "-c", "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    wait_boots(node, since, 1)
    assert "end Kernel panic" in node.console_text(since), "it did not reboot by itself"
    assert health(node)["verdict"] == "good"
