"""A machine and its disks: its own among others, and data disks of all kinds through a first boot, a second, and one
with half of them gone.

One machine for all of it: each test needs what the one before left.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from orlop.errors import Missing
from orlop.lab import images, lab
from orlop.lab import state as records
from orlop.lab.machine import Node
from orlop.lab.plan import LabPlan
from orlop.lab.source import Given, LabSource, Way
from orlop.machines import ssh
from orlop.machines.vm import make_disk
from orlop.model.disk.own import IMAGE_DISK
from orlop.node.config import owndisk
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.booting import EMPTY, boot, butane, off

pytestmark = pytest.mark.follows
NAME = "vmdisks"
# those that stay come first, so that the others can be taken out: 4, 5 and 6
SIZES = (768, 256, 256, 768, 256, 512)
ANOTHER = 3  # holds an installation of the same version
PATHS = ("/var/plain", "/var/safe", "/var/tree", "/var/fat", "/var/backup")

DISKS = """\
storage:
  disks:
    - device: /dev/disk/by-id/virtio-data1
      wipe_table: true
      partitions: [{label: plain-1, size_mib: 128}, {label: safe-1}]
    - device: /dev/disk/by-id/virtio-data4
      wipe_table: true
      partitions: [{label: plain-2, size_mib: 128}, {label: safe-2}]
    - {device: /dev/disk/by-id/virtio-data2, wipe_table: true, partitions: [{label: tree-1}]}
    - {device: /dev/disk/by-id/virtio-data5, wipe_table: true, partitions: [{label: tree-2}]}
    - device: /dev/disk/by-id/virtio-data6
      wipe_table: true
      partitions: [{label: fat, size_mib: 64}, {label: swap, size_mib: 64}, {label: backup}]
  raid:
    - name: plain
      level: raid1
      devices: [/dev/disk/by-partlabel/plain-1, /dev/disk/by-partlabel/plain-2]
    - name: safe
      level: raid1
      devices: [/dev/disk/by-partlabel/safe-1, /dev/disk/by-partlabel/safe-2]
  luks:
    - {name: safe, device: /dev/md/safe, wipe_volume: true}
  filesystems:
    - device: /dev/md/plain
      format: ext4
      label: plain
      path: /var/plain
      wipe_filesystem: true
      with_mount_unit: true
    - device: /dev/mapper/safe
      format: xfs
      label: safe
      path: /var/safe
      wipe_filesystem: true
      with_mount_unit: true
    - device: /dev/disk/by-partlabel/tree-1
      format: btrfs
      label: tree
      path: /var/tree
      options: [-d, raid1, -m, raid1, /dev/disk/by-partlabel/tree-2]
      wipe_filesystem: true
      with_mount_unit: true
    - device: /dev/disk/by-partlabel/fat
      format: vfat
      label: FAT
      path: /var/fat
      mount_options: [nofail]
      wipe_filesystem: true
      with_mount_unit: true
    - device: /dev/disk/by-partlabel/swap
      format: swap
      label: swap
      mount_options: [nofail]
      wipe_filesystem: true
      with_mount_unit: true
    - device: /dev/disk/by-partlabel/backup
      format: ext4
      label: backup
      path: /var/backup
      mount_options: [nofail]
      wipe_filesystem: true
      with_mount_unit: true
"""


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    plan = LabPlan(
        images.resolve(ws, str(image)),
        name=NAME,
        cpus=1,
        memory_mib=1024,
        demo=False,
        given=(Given(LabSource(Way.FW_CFG), EMPTY),),
        data_disks_mib=SIZES,
    )
    with suppress(Missing):  # left by a session that was killed
        lab.down(ws, NAME)
    there = lab.up(ws, Steps(), plan)
    try:
        node = there.node("n1")
        node.power_cut()  # a lab is made by powering it on: the firmware has not found the disk yet
        ssh.forget(node.paths.login, node.name)
        for disk, base in ((node.at.disk, node.paths.base), (node.at.data_disk(ANOTHER), lived_in(node))):
            disk.unlink()
            make_disk(node.paths.tools, base, disk, 12)
        yield node
    finally:
        lab.down(ws, NAME)


def lived_in(node: Node) -> Path:
    """A copy of the image on a disk that has booted elsewhere."""
    copy = node.at.disk.with_name("another.raw")
    subprocess.run(["cp", "--sparse=always", node.paths.base.resolve(), copy], check=True)
    with copy.open("r+b") as f:
        owndisk.make_own(owndisk.BlockDevice(f.fileno(), copy.stat().st_size, 512))
    return copy


def mounted(node: Node) -> dict[str, str]:
    """What is mounted at each path of its own, and the format."""
    lines = node.sh("findmnt -n -l -o TARGET,FSTYPE").splitlines()
    return {path: kind for path, kind in (line.split() for line in lines) if path in PATHS}


def identity(node: Node) -> dict[str, str]:
    """The UUIDs of the disk that the machine runs from, as the disk has them."""
    disk = node.sh("ls /run/orlop/disk").strip()
    table = json.loads(node.sh(f"lsblk --json -o NAME,PTUUID,PARTUUID,UUID,PARTLABEL /dev/{disk}"))["blockdevices"][0]
    parts = {part["partlabel"]: part["partuuid"] for part in table["children"] if part["partlabel"] != "_empty"}
    return {"disk": table["ptuuid"], **parts}


def check_note(node: Node, words: str) -> None:
    """One line of the status has these words, and the verdict knows it as well."""
    found = [line for line in json.loads(node.sh("orlop node status --json"))["hardware"] if words in line]
    assert len(found) == 1, found
    assert found[0] in json.loads(node.sh("cat /run/orlop/health.json"))["hardware"]


def test_file_systems_of_all_kinds_are_made_on_disks_arrays_and_volumes(node: Node) -> None:
    found = boot(node, butane(DISKS))
    assert [stage["stage"] for stage in found["stages"]] == ["fetch-offline", "disks", "mount", "files", "umount"]
    assert mounted(node) == {
        "/var/plain": "ext4", "/var/safe": "xfs", "/var/tree": "btrfs", "/var/fat": "vfat", "/var/backup": "ext4",
    }  # fmt: skip
    assert "partition" in node.sh("swapon --show=TYPE --noheadings")
    assert node.sh("cat /sys/block/md*/md/degraded").split() == ["0", "0"]
    assert node.sh("btrfs filesystem show /var/tree | grep -c devid") == "2\n"
    for path in PATHS:
        node.sh(f"echo mine > {path}/mine")
    node.sh("sync")


def test_the_first_boot_makes_the_disk_the_machine_s_own(node: Node) -> None:
    own = identity(node)
    assert own["disk"] == own["esp"] != str(IMAGE_DISK)
    assert node.sh("findmnt -n -t vfat -o SOURCE /boot").strip() == node.sh("realpath /dev/disk/orlop/esp").strip()


def test_another_installation_of_the_same_version_is_left_alone_and_said(node: Node) -> None:
    disk = node.sh("ls /run/orlop/disk").strip()
    for path, kind in (("/boot", "vfat"), ("/var", "ext4")):
        assert node.sh(f"lsblk -n -o PKNAME $(findmnt -n -t {kind} -o SOURCE {path})").strip() == disk
    assert node.sh("lsblk -n -s -o NAME,TYPE /dev/mapper/usr | grep -o 'vd[a-z]* *disk'").split()[::2] == [disk, disk]
    check_note(node, "holds another installation")


def test_the_second_boot_finds_all_of_it(node: Node) -> None:
    own = identity(node)
    node.sh("sync")
    boot(node, butane(DISKS))
    assert identity(node) == own
    assert node.sh("cat " + " ".join(f"{path}/mine" for path in PATHS)) == "mine\n" * len(PATHS)
    assert len(node.sh("swapon --show --noheadings").splitlines()) == 1


def test_a_boot_without_half_of_the_disks_is_good_and_says_what_is_missing(node: Node) -> None:
    off(node)
    with records.lock(node.paths.ws):
        there = records.read(node.paths)
        records.write(node.paths, there.with_node(replace(there.node(node.name), data_disks=ANOTHER)))
    boot(node, butane(DISKS))
    assert mounted(node) == {"/var/plain": "ext4", "/var/safe": "xfs", "/var/tree": "btrfs"}
    assert node.sh("cat /var/plain/mine /var/safe/mine /var/tree/mine") == "mine\n" * 3
    assert node.sh("cat /sys/block/md*/md/degraded").split() == ["1", "1"]
    assert node.run("ls", "/var/backup/mine").code != 0
    for words in (
        "array plain starts without",
        "array safe starts",
        "/var/tree is mounted without",
        "/var/backup is left",
    ):
        check_note(node, words)
