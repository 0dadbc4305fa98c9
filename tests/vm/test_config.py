"""A machine is what its configuration says: at the first boot and the next, after a bad one, when the source is away.

These tests have a lab of their own, of two machines with a further disk each, because what they do is to boot them
again and again. `boot` gives a machine a configuration and a cold start; it reads that by QEMU's fw_cfg.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, Missing
from orlop.lab import console, images, lab, ssh
from orlop.lab.lab import Lab, Plan
from orlop.lab.machine import Node, make_disk, make_empty_disk
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.lab.ports import LOOPBACK
from orlop.lab.source import Given, Source, Way
from orlop.lab.wait import reboot, wait_verdict
from orlop.provision.translate import translate
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.vm.machines import VERDICT_SECONDS

NAME = "vmconfig"
DATA_MIB = 256
BOOTS = 20
CUTS = 10
TREE_HASH = (
    "cd /etc && find . -printf '%p %y %m %U %G %l\\n' | sort > /run/tree && "
    "find . -type f | sort | xargs sha256sum >> /run/tree && sha256sum < /run/tree"
)
EMPTY = b'{"ignition": {"version": "3.3.0"}}'


def butane(text: str) -> bytes:
    result = translate(("variant: orlop\nversion: 1.0.0\n" + text).encode())
    assert result.ignition is not None, result.report.entries
    return result.ignition.encode()


@pytest.fixture(scope="module")
def lab_of_two(ws: Workspace, image: Path) -> Iterator[Lab]:
    with suppress(Missing):  # left by a session that was killed
        lab.down(ws, NAME)
    plan = Plan(
        images.resolve(ws, str(image)),
        name=NAME,
        nodes=2,
        memory_mib=1024,
        given=(Given(Source(Way.FW_CFG), EMPTY),),
        data_disks_mib=(DATA_MIB,),
    )
    with lab.running(ws, Steps(), plan, timeout=VERDICT_SECONDS) as there:
        there.node("n2").power_cut()
        yield there


@pytest.fixture
def node(lab_of_two: Lab) -> Node:
    return lab_of_two.node("n1")


def new_disks(node: Node) -> None:
    """A machine that has never booted, and so has other host keys."""
    ssh.forget(node.paths, node.name)
    for disk in (node.at.disk, node.at.data_disk(1)):
        disk.unlink()
    make_disk(node.paths, node.paths.base, node.at.disk, 12)
    make_empty_disk(node.paths, node.at.data_disk(1), DATA_MIB)


def off(node: Node) -> None:
    if node.running:
        node.run("sync")
        node.power_cut()


def boot(node: Node, config: bytes, *, fresh: bool = False) -> dict[str, Any]:
    """Start the machine with a configuration, to a good verdict; returns what it says of its configuration."""
    off(node)
    if fresh:
        new_disks(node)
    node.reconfigure(Given(Source(Way.FW_CFG), config))
    node.start()
    wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    assert console.failures(node.console_text()) == []
    return report(node)


def report(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/config.json"))
    assert found["ok"] is True
    return found


def failed_boot(node: Node, config: bytes, *, fresh: bool = False) -> str:
    """Start the machine with a configuration it cannot boot with; returns what the console said about it."""
    off(node)
    if fresh:
        new_disks(node)
    node.reconfigure(Given(Source(Way.FW_CFG), config))
    node.start()
    with pytest.raises(CommandFailed, match="cannot come up"):
        wait_verdict(node, Steps(), timeout=VERDICT_SECONDS)
    said = [line for line in console.plain(node.console_text()).split("\n") if line.startswith("orlop-config: ")]
    node.power_cut()
    return "\n".join(said)


# everything at once

WHOLE = """\
hostname: whole
passwd:
  groups:
    - {name: app, gid: 3000}
  users:
    - name: worker
      uid: 3001
      primary_group: app
      groups: [systemd-journal]
      home_dir: /var/home/worker
      ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample me]
storage:
  disks:
    - device: /dev/disk/by-id/virtio-data1
      wipe_table: true
      partitions:
        - {label: secret, size_mib: 64}
        - {label: plain}
  luks:
    - {name: secret, device: /dev/disk/by-partlabel/secret, wipe_volume: true}
  filesystems:
    - device: /dev/mapper/secret
      format: ext4
      label: secret
      path: /var/secret
      wipe_filesystem: true
      with_mount_unit: true
    - device: /dev/disk/by-partlabel/plain
      format: ext4
      label: plain
      path: /srv
      wipe_filesystem: true
      with_mount_unit: true
  directories:
    - {path: /var/app, mode: 0750, user: {name: worker}, group: {name: app}}
  files:
    - {path: /etc/app.conf, mode: 0640, group: {name: app}, contents: {inline: "a = 1\\n"}}
    - {path: /var/app/owned, contents: {inline: "of the configuration\\n"}}
    - {path: /var/app/seed, overwrite: false, contents: {inline: "at first\\n"}}
    - {path: /var/app/grown, append: [{inline: "once\\n"}]}
    - {path: /srv/owned, contents: {inline: "on a disk\\n"}}
  links:
    - {path: /etc/app.link, target: app.conf}
systemd:
  units:
    - name: app.service
      enabled: true
      contents: |
        [Unit]
        RequiresMountsFor=/srv /var/secret
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        User=worker
        ExecStart=/usr/bin/cat /etc/app.conf /srv/owned
        [Install]
        WantedBy=multi-user.target
    - {name: systemd-timesyncd.service, mask: true}
    - name: systemd-resolved.service
      dropins:
        - {name: 10-app.conf, contents: "[Service]\\nEnvironment=APP=1\\n"}
"""


def check_whole(node: Node) -> None:
    assert node.sh("cat /etc/hostname /etc/app.link /var/app/owned /srv/owned") == (
        "whole\na = 1\nof the configuration\non a disk\n"
    )
    assert node.sh("id worker").startswith("uid=3001(worker) gid=3000(app) groups=3000(app),")
    assert node.sh("stat -c '%U %G %a' /var/app /etc/app.conf") == "worker app 750\nroot app 640\n"
    assert node.sh("stat -c %U /var/home/worker/.ssh/authorized_keys.d/ignition") == "worker\n"
    assert node.sh("systemctl is-active app.service srv.mount var-secret.mount").split() == ["active"] * 3
    assert node.run("systemctl", "is-enabled", "systemd-timesyncd.service").out == "masked\n"
    assert "APP=1" in node.sh("systemctl show -p Environment systemd-resolved.service")
    assert node.sh("lsblk -n -o TYPE $(findmnt -n -o SOURCE /var/secret) | head -1") == "crypt\n"
    assert node.run("touch", "/etc/x").code != 0


def test_users_groups_units_mounts_and_an_encrypted_volume_come_and_stay(node: Node) -> None:
    config = butane(WHOLE)
    first = boot(node, config, fresh=True)
    assert (first["platform"], first["origin"]) == ("qemu", "fresh")
    assert [s["stage"] for s in first["stages"]] == ["fetch-offline", "disks", "mount", "files", "umount"]
    check_whole(node)
    assert node.sh("cat /var/app/seed /var/app/grown") == "at first\nonce\n"
    node.sh(
        "echo mine > /var/secret/mine; echo mine > /srv/mine; echo mine > /var/app/seed; echo mine > /var/app/owned; "
        "echo mine > /var/app/mine; chmod 700 /var/app; sync"
    )
    tree = node.sh(TREE_HASH)

    second = boot(node, config)
    assert second["config_sha256"] == first["config_sha256"]
    check_whole(node)
    assert (
        node.sh("cat /var/secret/mine /srv/mine /var/app/seed /var/app/mine /var/app/grown") == "mine\n" * 4 + "once\n"
    )
    assert any("wiped at an earlier boot" in note or "as the configuration wishes" in note for note in second["notes"])
    assert node.sh(TREE_HASH) == tree


def test_what_stands_in_the_way_is_moved_aside_and_a_changed_configuration_counts_at_the_next_boot(node: Node) -> None:
    boot(node, EMPTY, fresh=True)
    node.sh("mkdir -p /var/app/owned && echo precious > /var/app/owned/data; sync")
    found = boot(
        node, butane("storage: {files: [{path: /var/app/owned, contents: {inline: new}}]}\nhostname: changed\n")
    )
    assert node.sh("cat /var/app/owned /etc/hostname") == "newchanged\n"
    assert node.sh("cat /var/app/owned.moved-aside-1/data") == "precious\n"
    assert any("moved aside" in note for note in found["notes"])
    boot(node, EMPTY)
    assert node.sh("cat /etc/hostname") == "n1\n", "what is not in the configuration any more is gone"
    assert node.sh("cat /var/app/owned") == "new", "what is in /var stays"


# a configuration that fails, in each stage

BAD = {
    "fetch-offline": (
        b'{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "a"}]}}',
        "path not absolute",
    ),
    "kargs": (b'{"ignition": {"version": "3.3.0"}, "kernelArguments": {"shouldNotExist": ["panic=10"]}}', "panic=10"),
    "disks": (
        b'{"ignition": {"version": "3.3.0"}, "storage": {"filesystems": [{"device": "/dev/disk/by-partlabel/esp", '
        b'"format": "ext4", "label": "x"}]}}',
        "esp",
    ),
    "mount": (
        b'{"ignition": {"version": "3.3.0"}, "storage": {"filesystems": [{"device": "/dev/disk/by-id/virtio-data1", '
        b'"format": "ext4", "path": "/usr/nowhere", "wipeFilesystem": true}]}}',
        "/usr/nowhere",
    ),
    "files": (
        b'{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/x", '
        b'"user": {"name": "nobody-knows"}, "contents": {"source": "data:,x"}}]}}',
        "nobody-knows",
    ),
    "units": (
        b'{"ignition": {"version": "3.3.0"}, "systemd": {"units": [{"name": "x.service", "enabled": true, '
        b'"contents": "[Service]\\nExecStart=/usr/bin/true\\n[Install]\\nAlias=no-unit-name\\n"}]}}',
        "x.service",
    ),
}


@pytest.mark.parametrize("stage", BAD)
def test_a_stage_that_fails_stops_the_boot_and_says_why(node: Node, stage: str) -> None:
    config, word = BAD[stage]
    said = failed_boot(node, config)
    assert f"orlop-config: stage {stage} failed: " in said
    assert word in said
    assert "orlop-config: what to do: " in said
    assert "orlop-config: the configuration comes from QEMU's fw_cfg" in said


@pytest.mark.parametrize(
    ("config", "word"),
    [(b'{"ignition": {"version": "3.3', "unexpected end of JSON"), (b"\x00\xff" * 50, "invalid character")],
    ids=["truncated", "garbage"],
)
def test_a_first_boot_with_half_a_configuration_stops(node: Node, config: bytes, word: str) -> None:
    assert word in failed_boot(node, config, fresh=True)
    boot(node, EMPTY)


# from a server


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder that is served on the loopback; its URL as a machine sees it."""
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), partial(Handler, directory=str(tmp_path))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST_FROM_NODE}:{httpd.server_port}", tmp_path
        finally:
            httpd.shutdown()
            thread.join()


def replaced_by(url: str, data: bytes | None = None) -> bytes:
    source: dict[str, Any] = {"source": url}
    if data is not None:
        source["verification"] = {"hash": f"sha512-{hashlib.sha512(data).hexdigest()}"}
    ignition = {"version": "3.3.0", "config": {"replace": source}, "timeouts": {"httpTotal": 10}}
    return json.dumps({"ignition": ignition}).encode()


def with_file(name: str, url: str) -> bytes:
    return butane(f"hostname: {name}\nstorage: {{files: [{{path: /etc/far, contents: {{source: '{url}'}}}}]}}\n")


def test_a_source_that_is_away_is_replaced_by_the_last_good_configuration(node: Node, server: tuple[str, Path]) -> None:
    url, folder = server
    (folder / "far").write_text("from afar\n")
    (folder / "c.ign").write_bytes(with_file("one", f"{url}/far"))
    found = boot(node, replaced_by(f"{url}/c.ign"), fresh=True)
    assert found["origin"] == "fresh"
    assert node.sh("cat /etc/hostname /etc/far") == "one\nfrom afar\n"
    tree = node.sh(TREE_HASH)

    (folder / "far").rename(folder / "gone")
    found = boot(node, replaced_by(f"{url}/c.ign"))
    assert (found["origin"], found["failure"]["stage"]) == ("kept", "fetch-files")
    assert node.sh(TREE_HASH) == tree
    said = node.console_text()
    assert "orlop-config: this boot uses the last good configuration, of 20" in said
    assert "could not be read" in said

    (folder / "c.ign").write_bytes((folder / "c.ign").read_bytes()[:-10])
    found = boot(node, replaced_by(f"{url}/c.ign"))
    assert found["origin"] == "kept", "a download that was cut off is no configuration"
    assert node.sh(TREE_HASH) == tree

    (folder / "gone").rename(folder / "far")
    (folder / "c.ign").write_bytes(with_file("two", f"{url}/far"))
    found = boot(node, replaced_by(f"{url}/c.ign"))
    assert found["origin"] == "fresh"
    assert node.sh("cat /etc/hostname /etc/far") == "two\nfrom afar\n"

    node.sh("sed -i 's/two/six/' /var/lib/orlop/config/good.json; sync")
    (folder / "c.ign").unlink()
    said = failed_boot(node, replaced_by(f"{url}/c.ign"))
    assert "stage fetch failed: resource not found" in said, "a kept copy that is damaged is not used"


def test_a_wrong_hash_and_an_unreachable_server_stop_a_first_boot(node: Node, server: tuple[str, Path]) -> None:
    url, folder = server
    (folder / "c.ign").write_bytes(EMPTY)
    assert "hash verification failed" in failed_boot(node, replaced_by(f"{url}/c.ign", b"another"), fresh=True)
    said = failed_boot(node, replaced_by(f"http://{HOST_FROM_NODE}:9/c.ign"), fresh=True)
    assert "stage fetch failed: unable to fetch resource in time" in said
    boot(node, replaced_by(f"{url}/c.ign", EMPTY), fresh=True)


def test_ten_megabytes_of_configuration(node: Node, server: tuple[str, Path]) -> None:
    url, folder = server
    line = "x" * 1000
    files = [{"path": f"/etc/big/{n}", "contents": {"source": f"data:,{line}{n}"}} for n in range(10_000)]
    config = json.dumps({"ignition": {"version": "3.3.0"}, "storage": {"files": files}}).encode()
    assert len(config) > 10_000_000
    (folder / "big.ign").write_bytes(config)
    boot(node, replaced_by(f"{url}/big.ign", config), fresh=True)
    assert node.sh("ls /etc/big | wc -l; tail -c 4 /etc/big/9999").split() == ["10000", "9999"]
    boot(node, EMPTY, fresh=True)


# boot after boot, and cut after cut

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


def boots_are_the_same(node: Node) -> None:
    boot(node, butane(PLAIN), fresh=True)
    trees, ids = set(), set()
    for number in range(BOOTS):
        if number:
            reboot(node, Steps(), timeout=VERDICT_SECONDS)
        trees.add(node.sh(TREE_HASH))
        ids.add(node.sh("cat /etc/machine-id /var/lib/orlop/ssh/*.pub /var/lib/orlop/identity/secret"))
        assert node.sh(PLAIN_FILES) == PLAIN_SAYS
    assert (len(trees), len(ids)) == (1, 1)


def cuts_are_survived(node: Node) -> None:
    config = butane(PLAIN)
    began = time.monotonic()
    boot(node, config, fresh=True)
    length = time.monotonic() - began
    moments = random.Random(20261125)
    for _ in range(CUTS):
        off(node)
        new_disks(node)
        node.start()
        time.sleep(moments.uniform(0.2, 1.0) * length)
        node.power_cut()
        boot(node, config)
        assert node.sh(PLAIN_FILES) == PLAIN_SAYS
        assert node.sh("findmnt -n -o SOURCE /srv").startswith("/dev/vd")


def test_twenty_boots_are_the_same_and_power_cuts_during_first_boots_are_survived(lab_of_two: Lab) -> None:
    """The one machine boots twenty times, the other one is cut off ten times, side by side."""
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(boots_are_the_same, lab_of_two.node("n1")),
            pool.submit(cuts_are_survived, lab_of_two.node("n2")),
        ]:
            done.result()
