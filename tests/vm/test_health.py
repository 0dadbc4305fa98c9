"""What becomes of a boot that is good, bad, hangs or dies: the user's checks, soaking, the way back, and what is left
for the next boot to read. One machine, booted again and again.

A second version is needed only for its place on the ESP: a copy of the UKI under another name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, Missing
from orlop.lab import console, images, lab
from orlop.lab.lab import Plan
from orlop.lab.machine import Node
from orlop.lab.source import Given, Source, Way
from orlop.lab.standstill import Standstill
from orlop.lab.wait import wait_verdict
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.booting import butane, off
from tests.vm.machines import VERDICT_SECONDS

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
    "40-text cannot be run: it is no executable file"
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
    with suppress(Missing):
        lab.down(ws, "vmhealth")
    given = Given(Source(Way.FW_CFG), butane(GOOD))
    plan = Plan(images.resolve(ws, str(image)), name="vmhealth", cpus=1, memory_mib=1024, given=(given,))
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        yield there.node("n1")


@pytest.fixture(scope="module")
def version(image: Path) -> str:
    return image.resolve().name


def start(node: Node, config: bytes) -> None:
    off(node)
    node.reconfigure(Given(Source(Way.FW_CFG), config))
    node.start()


def bad(node: Node) -> str:
    """Wait for a bad verdict; its reason."""
    with pytest.raises(CommandFailed, match="judged its boot bad"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    node.wait_ssh()
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


def wait_boots(node: Node, since: int | None, count: int) -> None:
    """Wait for `count` verdicts since its console had `since` bytes; None: since it was started."""
    until, still = time.monotonic() + VERDICT_SECONDS, Standstill(node)
    while len(console.verdicts(node.console_text(since))) < count:
        assert time.monotonic() < until, console.tail(node.console_text(since))
        if still.why(node.console_text(since), time.monotonic()):
            still.cycle()
        time.sleep(0.5)
    node.wait_ssh()


def test_a_good_boot_soaks_and_leaves_nothing_running(node: Node, version: str) -> None:
    found = health(node)
    assert (found["verdict"], found["version"], found["reason"], found["soak"]) == ("good", version, "", SOAK)
    assert {"check": "health.d/10-leaves-a-child", "ok": True} in found["checks"]
    assert len(node.sh("cat /run/checked").split()) >= 2  # at once, every 30 seconds, at the end
    assert node.run("pgrep", "-f", "[s]leep 4321").code == 1
    assert node.sh("ls /boot/EFI/Linux").split() == [f"orlop_{version}.efi"]
    assert node.run("ls", f"/var/lib/orlop/failures/{version}.txt").code != 0


def test_bad_checks_are_named_and_a_proven_version_is_left_alone(node: Node, version: str) -> None:
    start(node, butane(BAD))
    assert bad(node) == BAD_REASON
    assert node.run("pgrep", "-f", "[s]leep 4321").code == 1
    assert failure(node, version).startswith(f"bad verdict: {BAD_REASON}\n\n")
    assert node.sh("systemctl show -P ConditionResult orlop-health-guard.service").strip() == "no"


@pytest.mark.long
def test_a_settings_file_is_never_evaluated(node: Node) -> None:
    start(node, butane(INJECTED))
    assert bad(node) == "/etc/orlop/health.conf, line 1: SOAK needs a whole number of seconds"
    assert node.run("ls", "/run/owned").code != 0


def test_a_bad_unproven_version_is_left_for_the_other(node: Node, version: str) -> None:
    """Nobody but the guard acts here."""
    count_down(node, version, 1)
    start(node, butane(BAD + NO_ENGINE))
    wait_boots(node, None, 2)
    assert node.sh(ENTRY) == f"orlop_{OTHER}.efi"
    assert set(node.sh("ls /boot/EFI/Linux").split()) == {f"orlop_{version}+0-1.efi", f"orlop_{OTHER}.efi"}
    assert BAD_REASON in failure(node, version)


def test_an_unproven_version_that_hangs_is_left_for_the_other(node: Node, version: str) -> None:
    count_down(node, version, 1)
    start(node, butane(HANGS))
    until = time.monotonic() + VERDICT_SECONDS
    while node.run("sh", "-c", f'test "$({ENTRY})" = orlop_{OTHER}.efi').code != 0:
        assert time.monotonic() < until, console.tail(node.console_text())
        time.sleep(2)
    # the hung one has said why; the proven one hangs as well, and stays
    assert failure(node, version).startswith("no verdict within 60 s of the start\n")
    assert node.run("ls", "/run/orlop/health.json").code != 0
    assert node.sh("systemctl show -P ConditionResult orlop-health-guard.service").strip() == "no"


def selected(node: Node) -> str:
    """The version of the entry that systemd-boot started, by its name."""
    return node.sh(ENTRY).partition("orlop_")[2].removesuffix(".efi")


def test_a_boot_that_fails_in_the_initrd_leaves_its_last_words(node: Node) -> None:
    version = selected(node)
    start(node, NO_INITRD)
    until = time.monotonic() + VERDICT_SECONDS
    while "orlop-initrd: rebooting" not in node.console_text():  # until it has said everything
        assert node.running and time.monotonic() < until, node.console_text()[-2000:]
        time.sleep(0.5)
    start(node, butane("hostname: again"))
    wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    said = failure(node, version)
    assert said.startswith("the boot failed in the initrd\n\n")
    assert "orlop-config" in said
    assert node.sh("ls /sys/firmware/efi/efivars").count("OrlopFailure") == 0


def test_a_panic_leaves_the_kernels_log_under_the_version_that_ran(node: Node) -> None:
    version = selected(node)
    node.sh("rm -f /var/lib/orlop/failures/*; sync")
    since = node.console_size()
    node.run("sh", "-c", "(sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
    wait_boots(node, since, 1)
    assert node.sh("ls /var/lib/orlop/failures").split() == [f"{version}.txt"]
    said = failure(node, version)
    assert said.startswith("Kernel panic - not syncing: sysrq triggered crash\n")
    assert "sysrq_handle_crash" in said
    assert node.sh("ls /sys/fs/pstore") == ""


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
