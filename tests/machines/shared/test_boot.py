"""What the machine is after a boot, and what a reboot and a power cut leave of what was done to it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orlop.lab import demo
from orlop.lab.machine import Node
from orlop.lab.wait import wait_verdict
from orlop.machines import console
from orlop.model.disk.own import IMAGE_DISK
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.machines import VERDICT_SECONDS, Machines


def has_booted_well(node: Node, image: Path) -> None:
    verdict = json.loads(node.sh("cat /run/orlop/health.json"))
    assert (verdict["verdict"], verdict["version"]) == ("good", image.name)
    assert verdict["boot"] == console.verdicts(node.console_text())[-1].boot
    node.sh("systemctl is-system-running --wait")  # the verdict comes a moment before the end of the boot
    assert node.sh("systemctl --failed --no-legend --plain").strip() == ""


def test_it_boots_to_a_good_verdict_and_nothing_failed(n1: Node, n2: Node, image: Path) -> None:
    for node in (n1, n2):
        has_booted_well(node, image)
        # its first boot, whose tries are counted: later ones do not start this target
        assert node.sh("systemctl is-active boot-complete.target").strip() == "active"


def test_the_system_is_the_one_that_was_built(n1: Node, image: Path) -> None:
    release = dict(line.split("=", 1) for line in n1.sh("cat /etc/os-release").splitlines() if "=" in line)
    assert release["ID"].strip('"') == "orlop"
    assert release["IMAGE_VERSION"].strip('"') == image.name
    assert n1.sh("cat /etc/hostname; uname -n").split() == ["n1", "n1"]


def test_no_password_and_no_other_key_opens_it(ws: Workspace, machines: Machines, tmp_path: Path) -> None:
    key = tmp_path / "id"
    sdk_run(ws, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], what="a key", binds=[tmp_path])
    argv = [
        str(key) if arg == f'IdentityFile="{machines.lab.paths.login.key}"' else arg
        for arg in machines.n1.argv(["true"])
    ]
    assert argv.count(str(key)) == 1
    argv[argv.index(str(key))] = f'IdentityFile="{key}"'
    refused = _run(argv)
    assert "Permission denied (publickey" in refused


@pytest.mark.parametrize(
    "deed",
    [
        "touch /usr/x",
        "rm /usr/bin/podman",
        "mount -o remount,rw /usr",
        "echo x > /usr/lib/os-release",
        "dd if=/dev/zero of=/dev/mapper/usr bs=4096 count=1 conv=fsync",
    ],
)
def test_usr_refuses_writes(n1: Node, deed: str) -> None:
    before = n1.sh("sha256sum /usr/lib/os-release; findmnt -n -o OPTIONS /usr")
    ran = n1.run("sh", "-c", deed)
    assert ran.code != 0
    assert re.search("Read-only|not permitted|read-only|write-protected", ran.err), ran.err
    assert n1.sh("sha256sum /usr/lib/os-release; findmnt -n -o OPTIONS /usr") == before


def test_a_flipped_byte_in_usr_is_caught_by_verity(ws: Workspace, machines: Machines, image: Path) -> None:
    """Flip one byte of a program on the disk, below verity: reading it fails. Flip it back: it is whole again."""
    node, victim = machines.n2, "/sbin/e2fsck"
    place = _first_block(ws, image / f"orlop_{image.name}.usr.raw", victim)
    flip = (
        f"disk=/dev/disk/by-partlabel/orlop_{image.name}; "
        f"old=$(dd if=$disk bs=1 skip={place} count=1 status=none | od -An -tu1); "
        f'printf "\\\\$(printf %o $((old ^ 255)))" | dd of=$disk bs=1 seek={place} conv=notrunc,fsync status=none; '
        "echo 3 > /proc/sys/vm/drop_caches"
    )
    read = ["sha256sum", f"/usr{victim}"]
    whole = node.run(*read)
    assert whole.code == 0
    with machines.expect(node, "verity") as start:
        node.sh(flip)
        try:
            broken = node.run(*read)
        finally:
            node.sh(flip)
        assert broken.code != 0
        assert "Input/output error" in broken.err
        kinds = [p.kind for p in console.failures(node.console_text(start))]
        assert set(kinds) == {"verity"}
    assert node.run(*read) == whole


def test_no_boot_is_a_factory_reset(n1: Node, n2: Node) -> None:
    for node in (n1, n2):
        assert "factory_reset" not in node.sh("cat /proc/cmdline")


def test_a_first_boot_without_a_configuration_makes_the_disk_its_own_and_starts_no_ignition(n1: Node, n2: Node) -> None:
    disks = [node.sh('lsblk -d -n -o PTUUID "/dev/$(ls /run/orlop/disk)"').strip() for node in (n1, n2)]
    assert len({*disks, str(IMAGE_DISK)}) == 3, disks
    assert json.loads(n1.sh("cat /run/orlop/config.json"))["stages"] == []


def test_what_runs_on_is_filtered_as_debian_has_it(n1: Node) -> None:
    """In the initrd they are not."""
    for unit in ("systemd-udevd", "systemd-journald"):
        status = n1.sh(f"cat /proc/$(systemctl show --value -p MainPID {unit})/status")
        assert "Seccomp:\t2\n" in status, unit


def test_etc_is_sealed(n1: Node) -> None:
    for deed in ("touch /etc/x", "rm /etc/hosts", "echo x >> /etc/passwd", "systemctl disable podman.socket"):
        ran = n1.run("sh", "-c", deed)
        assert ran.code != 0
        assert "ead-only file system" in ran.err


def test_networks_of_containers_need_no_etc(n1: Node) -> None:
    n1.sh("podman network create kept")
    try:
        assert "kept" in n1.sh("ls /var/lib/containers/networks")
    finally:
        n1.sh("podman network rm kept")


def test_it_boots_after_a_power_cut_with_etc_made_anew_and_var_as_it_was(n2: Node, image: Path) -> None:
    """It has been restored: so such a machine boots again as any other does.

    That a reboot leaves the same is in test_first_boots.py; that the container comes back after one, in test_update.py.
    """
    n2.sh("mount -o remount,bind,rw /etc")
    n2.sh("podman network create kept; sync")
    n2.sh(
        "echo mine > /etc/mine; echo changed >> /etc/hosts; rm /etc/os-release; echo kept > /var/kept; "
        "sync /var/kept; echo lost > /var/not-synced"
    )
    before = n2.sh("cat /etc/machine-id; cat /var/lib/orlop/ssh/*.pub; cat /proc/sys/kernel/random/boot_id").split("\n")
    n2.power_cut()
    n2.start()
    verdict = wait_verdict(n2, Steps(), timeout=VERDICT_SECONDS)
    assert verdict.good
    after = n2.sh("cat /etc/machine-id; cat /var/lib/orlop/ssh/*.pub; cat /proc/sys/kernel/random/boot_id").split("\n")
    assert before[:2] == after[:2], "the machine is still itself"
    assert before[2] != after[2]
    assert verdict.boot == after[2].replace("-", "")
    assert n2.run("test", "-e", "/etc/mine").code == 1
    assert "changed" not in n2.sh("cat /etc/hosts")
    assert "orlop" in n2.sh("cat /etc/os-release")
    assert n2.sh("cat /var/kept; rm -f /var/kept /var/not-synced") == "kept\n"
    n2.sh("podman network rm kept")  # fails when the network did not outlive the boot
    assert "<strong>n2</strong>" in demo.fetch(n2.port(demo.PORT), timeout=120), "its container came back"
    assert n2.sh("orlop diff") == "no difference: this machine is its image and its configuration\n"
    has_booted_well(n2, image)
    assert "var-is-full" in n2.sh("ls /run/orlop"), "there was nothing to make or grow"


def _first_block(ws: Workspace, usr: Path, path: str) -> int:
    """Where on the usr partition the content of a file begins (bytes)."""
    told = sdk_run(ws, ["dump.erofs", f"--path={path}", "-e", usr], what="looking for a block", binds=[usr.parent])
    m = re.search(r"^ +0: +0\.\. *\d+ \| +\d+ : +(\d+)\.\.", told, re.MULTILINE)
    assert m, told
    return int(m[1])


def _run(argv: list[str]) -> str:
    import subprocess

    done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 255
    return done.stderr.decode()
