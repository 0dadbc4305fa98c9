"""Starting a machine over: what stays, what goes, and power that goes in the middle of it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from orlop.errors import CommandFailed
from orlop.lab.machine import Node
from orlop.lab.wait import reboot, wait_verdict
from orlop.machines import console, ssh
from orlop.machines.console import BootStage
from orlop.model.reset.request import REQUEST, RESULT, ResetOutcome, ResetResult
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.spare import spare

LAB = "vmreset"
LONG = partial(pytest.param, marks=pytest.mark.long)
KEEP = "/var/lib/app/data"
# something of each kind to keep, and some hundred folders of which none may stay
FILL = f"""set -e
mkdir -p {KEEP}/sub /var/lib/app/rest /var/tree
echo kept > {KEEP}/f; ln -f {KEEP}/f {KEEP}/sub/g; ln -sfn ../rest {KEEP}/link
chown 4242:4242 {KEEP}/f; chmod 640 {KEEP}/f
mkfifo -m 600 {KEEP}/fifo 2>/dev/null || true
for i in $(seq 60); do mkdir -p /var/tree/$i/a/b/c; echo $i > /var/tree/$i/a/f; done
echo x > /var/lib/app/rest/held; chattr +i /var/lib/app/rest/held /var/lib/app/rest
echo x > /var/log/held; chattr +a /var/log/held
sync
"""
# what a boot takes back, of every kind that the initrd makes (test_drift.py has all of it)
DRIFT = """mountpoint -q /etc && mount -o remount,bind,rw /etc
useradd -U -u 4242 mallory && echo more >> /etc/orlop-test.conf && systemctl -q mask systemd-timesyncd.service
"""
LOOK = f"cd {KEEP} && find . -printf '%p %M %U:%G %n %l\\n' | sort && cat f"


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with spare(ws, image, LAB) as there:
        yield there


def reset(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "orlop", "node", "reset", "n1", "--name", LAB, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=900)


def identity(node: Node) -> list[str]:
    return node.sh("cat /etc/machine-id /var/lib/orlop/ssh/*.pub").splitlines()


def var_partition(node: Node) -> str:
    return node.sh("lsblk -n -o PARTUUID /dev/disk/by-partlabel/var").strip()


def boots(node: Node) -> str:
    """What the boot loader has: the slots and their counters."""
    return node.sh("ls /boot/EFI/Linux; lsblk -n -o PARTLABEL,PARTUUID | grep -E '^(esp|orlop|_empty)'")


def must_be_empty(node: Node) -> None:
    gone = "/var/tree /var/lib/app/rest /var/log/held /var/.orlop-reset " + REQUEST
    assert node.sh(f"for p in {gone}; do [ -e $p ] && echo $p; done; true") == ""
    assert node.sh("cat /var/lib/orlop-test.conf") == "var\n", "the configuration was applied again"
    assert node.sh("orlop diff") == "no difference: this machine is its image and its configuration\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--keep", "/etc/ssh"], "'/etc/ssh' cannot be kept"),
        (["--keep", "/var/../etc"], "not plain and absolute"),
        (["--keep", "/var/nothing/there"], "there is no /var/nothing/there to keep"),
        (["--keep", "/var/run/orlop"], "/var/run is a link"),
        (["--erase", "--keep", "/var/lib"], "with --erase nothing can be kept"),
    ],
)
def test_a_wrong_wish_changes_nothing(node: Node, words: list[str], said: str) -> None:
    done = reset(*words, "--yes")
    assert done.returncode == 1
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert node.run("test", "-e", REQUEST).code == 1


def test_nobody_who_agrees_changes_nothing(node: Node) -> None:
    assert reset().returncode == 1
    assert node.run("orlop", "reset").code == 2
    assert node.run("test", "-e", REQUEST).code == 1


def damage(ws: Workspace, node: Node) -> None:
    """Take the machine's power and overwrite the first 32 MiB of its /var, on the disk."""
    begin = 512 * int(node.sh("cat /sys/class/block/$(basename $(realpath /dev/disk/by-partlabel/var))/start"))
    node.power_cut()
    write = ["qemu-io", "-f", "qcow2", "-c", f"write -P 0xa5 {begin} 32M", str(node.at.disk)]
    sdk_run(ws, write, what="damaging the disk", binds=[node.at.disk.parent])


DOWN, ENTER, SPACE = b"\x1b[B", b"\r", b" "
CLEARED = b"\x1b[2J"


def choose_reset(node: Node) -> None:
    """At the serial console: press the space bar until the boot menu is there, then go to its second entry.

    The loader looks for a key for a tenth of a second, so it is pressed more often than that; and a key may be lost.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(node.at.console))
        line.setblocking(False)
        press_until(line, SPACE, b"(factory")
        press_until(line, b"", b"", pause=1.0)  # what was pressed too often is let go first
        press_until(line, DOWN, b"(factory", pause=1.0)  # drawn anew as the chosen one
        press_until(line, ENTER, CLEARED, pause=1.0)


def press_until(line: socket.socket, key: bytes, expected: bytes, pause: float = 0.03) -> None:
    """Press a key again and again, if the machine takes it, until it has written what is expected."""
    seen, until = b"", time.monotonic() + 120
    while True:
        with suppress(BlockingIOError):
            line.send(key)
        time.sleep(pause)
        with suppress(BlockingIOError):
            seen += line.recv(65536)
        if expected in seen:
            return
        assert time.monotonic() < until, seen


def cmdline(node: Node) -> list[str]:
    return node.sh("cat /proc/cmdline").split()


def test_the_boot_menu_offers_it_and_never_chooses_it(ws: Workspace, node: Node) -> None:
    """Of a /var that cannot be mounted any more, which leaves nobody to ask but the boot menu."""
    node.sh(FILL)
    entries = json.loads(node.sh("bootctl list --json=short"))
    assert [e["title"].endswith("(factory reset)") for e in entries if e["type"] == "type2"] == [False, True]
    assert "systemd.factory_reset=1" not in cmdline(node)
    disk, slots = var_partition(node), boots(node)
    damage(ws, node)
    node.start()
    with pytest.raises(CommandFailed, match=r"(?s)cannot come up.*sysroot-var.mount loaded failed"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    node.power_cut()

    node.start()
    choose_reset(node)
    assert wait_verdict(node, Steps(), timeout=VERDICT_SECONDS).good
    ssh.forget(node.paths.login, node.name)
    assert cmdline(node)[-1] == "systemd.factory_reset=1"
    assert var_partition(node) != disk
    assert boots(node) == slots
    must_be_empty(node)


def count(node: Node, counters: str) -> None:
    """Put these counters into the name of the UKI."""
    node.sh(
        f"cd /boot/EFI/Linux && mv orlop_*.efi orlop_$(. /usr/lib/os-release; echo $IMAGE_VERSION){counters}.efi; sync"
    )


def blessed(node: Node) -> None:
    """Wait until they are gone again."""
    node.sh("set -e; n=0; while ls /boot/EFI/Linux | grep -q +; do n=$((n + 1)); [ $n -lt 60 ]; sleep 1; done")


@pytest.mark.follows("test_the_boot_menu_offers_it_and_never_chooses_it")
def test_everything_goes_but_what_is_kept(node: Node) -> None:
    """It is the boot after the one that the boot menu was asked for, and one whose tries are used up."""
    node.sh(FILL)
    node.sh(DRIFT)
    assert node.run("orlop", "diff").code == 1
    before, who, disk, slots = node.sh(LOOK), identity(node), var_partition(node), boots(node)
    count(node, "+0-3")
    done = reset("--keep", KEEP, "--yes")
    assert done.returncode == 0, done.stderr
    blessed(node)
    assert "systemd.factory_reset=1" not in cmdline(node), "only that boot did it, and no counter does"
    assert "factory reset done" in done.stderr
    must_be_empty(node)
    assert node.run("id", "mallory").code == 1, "what was done by hand is gone"
    assert node.sh("cat /etc/orlop-test.conf") == "etc\n"
    assert node.sh(LOOK) == before
    assert not set(identity(node)) & set(who), "it is another machine now"
    assert (var_partition(node), boots(node)) == (disk, slots)
    result = ResetResult.parse(node.sh(f"cat {RESULT}"))
    assert (result.outcome, result.kept, result.left) == (ResetOutcome.DONE, (KEEP,), {})
    assert "factory reset done" in node.sh("journalctl -b -u orlop-reset.service -o cat")


def cut_in_initrd(node: Node, since: int, seconds: float) -> None:
    """Take its power `seconds` after the initrd of the boot began that its console shows from `since` on."""
    until = time.monotonic() + VERDICT_SECONDS
    while console.stage(console.last_boot(node.console_text(since))) < BootStage.INITRD:
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(seconds)
    node.power_cut()


def start(node: Node) -> None:
    node.start()
    assert wait_verdict(node, Steps(), timeout=VERDICT_SECONDS).good
    ssh.forget(node.paths.login, node.name)


@pytest.mark.parametrize("seconds", [LONG(1.5), 3.0, LONG(4.5)])
def test_power_may_go_during_a_reset_and_identity_can_be_kept(node: Node, seconds: float) -> None:
    node.sh(FILL)
    before, who, slots = node.sh(LOOK), identity(node), boots(node)
    node.sh(f"orlop reset --keep {KEEP} --keep /var/lib/orlop --yes --no-reboot")
    since = node.console_size()
    node.run("systemctl", "reboot")
    cut_in_initrd(node, since, seconds)
    start(node)
    must_be_empty(node)
    assert node.sh(LOOK) == before
    assert identity(node) == who
    assert boots(node) == slots


@pytest.mark.parametrize("seconds", [LONG(1.0), 2.0, LONG(3.0)])
def test_erase_helps_a_machine_whose_var_is_damaged_and_power_may_go_while_the_partition_is_made_anew(
    ws: Workspace, node: Node, seconds: float
) -> None:
    """Reset through the firmware is asked for, then the file system is destroyed: the machine comes back."""
    node.sh(FILL)
    disk, slots = var_partition(node), boots(node)
    node.sh("orlop reset --erase --yes --no-reboot")
    damage(ws, node)
    since = node.console_size()
    node.start()
    cut_in_initrd(node, since, seconds)
    start(node)
    assert var_partition(node) != disk
    assert boots(node) == slots
    must_be_empty(node)
    assert node.run("test", "-e", KEEP).code == 1


@pytest.mark.long
def test_a_default_entry_does_not_outlive_one_boot(node: Node) -> None:
    """As `d` in the boot menu sets one: the worst there is, which erases /var."""
    entries = json.loads(node.sh("bootctl list --json=short"))
    entry = next(e["id"] for e in entries if e["title"].endswith("(factory reset)"))
    disk = var_partition(node)
    node.sh(f"bootctl set-default {entry}")
    start_over = node.console_size()
    node.run("systemctl", "reboot")
    assert wait_verdict(node, Steps(), timeout=VERDICT_SECONDS, start=start_over).good
    ssh.forget(node.paths.login, node.name)
    after = var_partition(node)
    assert (cmdline(node)[-1], after != disk) == ("systemd.factory_reset=1", True)
    reboot(node, Steps(), timeout=VERDICT_SECONDS)
    assert "systemd.factory_reset=1" not in cmdline(node)
    assert var_partition(node) == after


def reboot_counted(node: Node, counters: str) -> None:
    """Reboot, with these counters in the name of the UKI; it is proven afterwards, which takes them off."""
    count(node, counters)
    assert reboot(node, Steps(), timeout=VERDICT_SECONDS).good
    blessed(node)


@pytest.mark.long
@pytest.mark.parametrize("counters", ["+3-0", "+1-2"])  # +0-3 is above
def test_no_counter_makes_a_factory_reset_the_first_entry(node: Node, counters: str) -> None:
    disk = var_partition(node)
    reboot_counted(node, counters)
    assert "systemd.factory_reset=1" not in cmdline(node)
    assert var_partition(node) == disk
