"""Boot after boot is the same, and a boot that is cut off leaves nothing half made."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab.machine import Node
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.wait import reboot
from orlop.machines import console, ssh
from orlop.machines.console import BootStage
from orlop.node.config import kept
from orlop.node.config.kept import Deeds
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.booting import TREE_HASH, boot, booting, butane, new_disks, off
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.saved import restored
from tests.machines.spare import spare_plan


@pytest.fixture(scope="module")
def never_booted(ws: Workspace, image: Path) -> Iterator[Node]:
    with booting(ws, image, "vmfirst") as there:
        yield there.node("n1")


@pytest.fixture
def lived_in(ws: Workspace, image: Path) -> Iterator[Node]:
    """A machine that has a life behind it already."""
    with restored(ws, spare_plan(ws, image, "vmhalf")) as there:
        yield there.node("n1")


PLAIN = """\
hostname: plain
passwd:
  users:
    - {name: worker, uid: 3001, home_dir: /var/home/worker}
storage:
  disks:
    - device: /dev/disk/by-id/virtio-data1
      wipe_table: true
      partitions: [{label: plain}]
  filesystems:
    - device: /dev/disk/by-partlabel/plain
      format: ext4
      label: plain
      path: /srv
      wipe_filesystem: true
      with_mount_unit: true
  files:
    - {path: /etc/app.conf, contents: {inline: "a = 1\\n"}}
    - {path: /var/app/owned, contents: {inline: "of the configuration\\n"}}
    - {path: /var/app/seed, overwrite: false, contents: {inline: "at first\\n"}}
    - {path: /var/app/grown, append: [{inline: "once\\n"}]}
    - {path: /srv/owned, contents: {inline: "on a disk\\n"}}
systemd:
  units:
    - {name: podman.socket, enabled: true}
    - {name: systemd-timesyncd.service, mask: true}
"""
PLAIN_SAYS = "plain\na = 1\nof the configuration\nat first\nonce\non a disk\n"
PLAIN_FILES = "cat /etc/hostname /etc/app.conf /var/app/owned /var/app/seed /var/app/grown /srv/owned"


DONE = "/var/lib/orlop/config/done.json"
HALF = """set -e
: > /var/app/seed; : > /var/app/grown; printf 'mine\\nad' > /var/app/log
echo half > /var/home/worker/half; chown 0:0 /var/home/worker
echo mine > /var/app/mine; echo half > /srv/half
cd /var/lib/orlop/ssh; : > ssh_host_ed25519_key; echo half > .new; echo half > .new.pub
"""


def test_what_was_half_made_when_the_power_went_is_made_anew(lived_in: Node, tmp_path: Path) -> None:
    """A machine as a cut in the middle of making leaves it; where the cut falls by chance is the next test."""
    node = lived_in
    node.sh("mkdir -p /var/app; echo mine > /var/app/log; sync")
    log = '    - {path: /var/app/log, append: [{inline: "added\\n"}]}\n'
    config = butane(PLAIN.replace("  files:\n", "  files:\n" + log))
    boot(node, config)
    assert node.sh("cat /var/app/log") == "mine\nadded\n"
    record = tmp_path / "done.json"
    record.write_text(node.sh(f"cat {DONE}"))
    deeds = kept.load_deeds(record)
    assert deeds == Deeds(deeds.done), "while the system runs nothing is half made"

    made = {"/var/app/seed": None, "/var/app/grown": None, "/var/app/log": 5, "/var/home/worker": None}
    once = {name for name in deeds.done if name.startswith(("append:", "filesystem:"))}
    begun = frozenset(name for name in once if name.startswith("filesystem:"))
    kept.save_deeds(record, Deeds(deeds.done - once, begun, made))
    node.sh(HALF)
    node.sh(f"echo {base64.b64encode(record.read_bytes()).decode()} | base64 -d > {DONE}; sync")
    off(node)
    ssh.forget(node.paths.login, node.name)
    found = boot(node, config)
    assert node.sh("ls -A /var/lib/orlop/ssh").split() == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    assert node.sh(PLAIN_FILES) == PLAIN_SAYS
    assert node.sh("cat /var/app/log /var/app/mine; stat -c %U /var/home/worker") == "mine\nadded\nmine\nworker\n"
    assert node.run("ls", "/srv/half", "/var/home/worker/half").code != 0
    assert len([note for note in found["notes"] if "a boot ended while" in note]) == len(made) + len(begun)
    record.write_text(node.sh(f"cat {DONE}"))
    assert kept.load_deeds(record) == deeds


def is_the_same_at_each_boot(node: Node, count: int) -> None:
    """After a first boot, and so many more."""
    trees, ids = set(), set()
    for number in range(1 + count):
        if number:
            reboot(node, Steps(), timeout=VERDICT_SECONDS)
        trees.add(node.sh(TREE_HASH))
        ids.add(node.sh("cat /etc/machine-id /var/lib/orlop/ssh/*.pub /var/lib/orlop/identity/secret"))
        assert node.sh(PLAIN_FILES) == PLAIN_SAYS
    assert (len(trees), len(ids)) == (1, 1)


def cut_a_first_boot(node: Node, part: float) -> None:
    """`part`: how far it comes after its initrd has begun, of what takes four times as long as all before that."""
    off(node)
    new_disks(node)
    node.reconfigure(Given(LabSource(Way.FW_CFG), butane(PLAIN)))
    node.start()
    began = time.monotonic()
    while console.stage(node.console_text()) < BootStage.INITRD:
        assert node.running and time.monotonic() - began < VERDICT_SECONDS
        time.sleep(0.05)
    time.sleep(part * 4 * (time.monotonic() - began))
    node.power_cut()


@pytest.mark.parametrize(("boots", "cuts"), [(1, 2), pytest.param(19, 10, marks=pytest.mark.long)])
def test_boots_are_the_same_and_power_cuts_during_first_boots_are_survived(
    never_booted: Node, boots: int, cuts: int
) -> None:
    node, moments = never_booted, random.Random(20261125)
    for _ in range(cuts):
        cut_a_first_boot(node, moments.uniform(0.1, 1.0))
        boot(node, butane(PLAIN))
        assert node.sh(PLAIN_FILES) == PLAIN_SAYS
        assert node.sh("findmnt -n -o SOURCE /srv").startswith("/dev/vd")
    is_the_same_at_each_boot(node, boots)
