"""A machine is what its configuration says: at the first boot and the next, after a bad one, when the source is away.

These tests have machines of their own, because what they do is to boot them again and again: a whole one for disks and
for the initrd, with its network, its memory and its way to stop; a container machine for what is the same on both.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.machines.ports import LOOPBACK
from orlop.workspace import Workspace
from tests.machines.booting import EMPTY, TREE_HASH, boot, booting, butane, failed_boot, starting


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with booting(ws, image, "vmconfig") as there:
        yield there.node("n1")


@pytest.fixture(scope="module")
def container(ws: Workspace, image: Path) -> Iterator[Node]:
    with starting(ws, image, "vmconfigc") as there:
        yield there


# a server that configurations come from


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


def test_users_groups_units_mounts_and_an_encrypted_volume_come_and_stay_when_the_server_of_it_is_away(
    node: Node, server: tuple[str, Path]
) -> None:
    """What a server does, on a whole machine: a first boot that stops, the next one, and one by the kept copy."""
    url, folder = server
    config = butane(
        WHOLE.replace("  links:\n", f"    - {{path: /etc/far, contents: {{source: '{url}/far'}}}}\n  links:\n")
    )
    (folder / "far").write_text("from afar\n")
    (folder / "c.ign").write_bytes(config)
    assert "hash verification failed" in failed_boot(node, replaced_by(f"{url}/c.ign", b"another"), fresh=True)

    first = boot(node, replaced_by(f"{url}/c.ign", config))
    assert (first["platform"], first["origin"]) == ("qemu", "fresh")
    stages = [s["stage"] for s in first["stages"]]
    assert stages == ["fetch-offline", "fetch", "fetch-files", "disks", "mount", "files", "umount"]
    check_whole(node)
    assert node.sh("cat /etc/far") == "from afar\n"
    assert node.sh("cat /var/app/seed /var/app/grown") == "at first\nonce\n"
    node.sh(
        "echo mine > /var/secret/mine; echo mine > /srv/mine; echo mine > /var/app/seed; echo mine > /var/app/owned; "
        "echo mine > /var/app/mine; chmod 700 /var/app; sync"
    )
    tree = node.sh(TREE_HASH)

    (folder / "far").rename(folder / "gone")
    second = boot(node, replaced_by(f"{url}/c.ign", config))
    assert (second["origin"], second["failure"]["stage"]) == ("kept", "fetch-files")
    assert second["config_sha256"] == first["config_sha256"]
    said = node.console_text()
    assert "orlop-config: this boot uses the last good configuration, of 20" in said
    assert "could not be read" in said
    check_whole(node)
    assert (
        node.sh("cat /var/secret/mine /srv/mine /var/app/seed /var/app/mine /var/app/grown") == "mine\n" * 4 + "once\n"
    )
    assert any("wiped at an earlier boot" in note or "as the configuration wishes" in note for note in second["notes"])
    assert node.sh(TREE_HASH) == tree


def test_what_stands_in_the_way_is_moved_aside_and_a_changed_configuration_counts_at_the_next_boot(
    container: Node,
) -> None:
    container.sh("mkdir -p /var/other/owned && echo precious > /var/other/owned/data; sync")
    found = boot(
        container, butane("storage: {files: [{path: /var/other/owned, contents: {inline: new}}]}\nhostname: changed\n")
    )
    assert container.sh("cat /var/other/owned /etc/hostname") == "newchanged\n"
    assert container.sh("cat /var/other/owned.moved-aside-1/data") == "precious\n"
    assert any("moved aside" in note for note in found["notes"])
    boot(container, EMPTY)
    assert container.sh("cat /etc/hostname") == "n1\n", "what is not in the configuration any more is gone"
    assert container.sh("cat /var/other/owned") == "new", "what is in /var stays"


# a configuration that fails, in each stage

BAD = {
    "fetch-offline": (
        b'{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "a"}]}}',
        "path not absolute",
    ),
    "kargs": (b'{"ignition": {"version": "3.3.0"}, "kernelArguments": {"shouldNotExist": ["panic=10"]}}', "panic=10"),
    "disks": (
        # the disk that the machine runs from: the tests that come after find it as it was
        b'{"ignition": {"version": "3.3.0"}, "storage": {"disks": [{"device": "/dev/vda", "wipeTable": true, '
        b'"partitions": [{"label": "data", "number": 1}]}]}}',
        "/dev/vda is on the disk vda, which this machine runs from",
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


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=() if stage in {"disks", "mount"} else pytest.mark.long) for stage in BAD]
)
def test_a_stage_that_fails_stops_the_boot_and_says_why(node: Node, stage: str) -> None:
    config, word = BAD[stage]
    said = failed_boot(node, config)
    assert f"orlop-config: stage {stage} failed: " in said
    assert word in said
    assert "orlop-config: what to do: " in said
    assert "orlop-config: the configuration comes from QEMU's fw_cfg" in said


@pytest.mark.parametrize("stage", ["fetch-offline", "files", "units"])
def test_a_stage_that_fails_stops_the_start_and_says_why(container: Node, stage: str) -> None:
    config, word = BAD[stage]
    said = failed_boot(container, config)
    assert f"\nstage {stage} failed: " in said
    assert word in said
    assert "\nwhat to do: " in said
    assert "\nthe configuration comes from the file that this container machine was given" in said


@pytest.mark.parametrize(
    ("config", "word"),
    [
        pytest.param(b'{"ignition": {"version": "3.3', "unexpected end of JSON", id="truncated"),
        pytest.param(b"\x00\xff" * 50, "invalid character", id="garbage"),
    ],
)
@pytest.mark.parametrize("machine", ["container", pytest.param("node", marks=pytest.mark.long)])
def test_a_first_boot_with_half_a_configuration_stops(
    request: pytest.FixtureRequest, machine: str, config: bytes, word: str
) -> None:
    node: Node = request.getfixturevalue(machine)
    assert word in failed_boot(node, config, fresh=True)
    boot(node, EMPTY)


def test_a_source_that_is_away_is_replaced_by_the_last_good_configuration(
    container: Node, server: tuple[str, Path]
) -> None:
    node, (url, folder) = container, server
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
    said = node.sh("cat /run/orlop/config.log")
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


def test_a_wrong_hash_and_an_unreachable_server_stop_a_first_boot(container: Node, server: tuple[str, Path]) -> None:
    url, folder = server
    (folder / "c.ign").write_bytes(EMPTY)
    assert "hash verification failed" in failed_boot(container, replaced_by(f"{url}/c.ign", b"another"), fresh=True)
    said = failed_boot(container, replaced_by(f"http://{HOST_FROM_NODE}:9/c.ign"), fresh=True)
    assert "stage fetch failed: unable to fetch resource in time" in said


@pytest.mark.parametrize("machine", ["container", pytest.param("node", marks=pytest.mark.long)])
def test_ten_megabytes_of_configuration(request: pytest.FixtureRequest, machine: str, server: tuple[str, Path]) -> None:
    node: Node = request.getfixturevalue(machine)
    url, folder = server
    line = "x" * 1000
    files = [{"path": f"/etc/big/{n}", "contents": {"source": f"data:,{line}{n}"}} for n in range(10_000)]
    config = json.dumps({"ignition": {"version": "3.3.0"}, "storage": {"files": files}}).encode()
    assert len(config) > 10_000_000
    (folder / "big.ign").write_bytes(config)
    boot(node, replaced_by(f"{url}/big.ign", config), fresh=True)
    assert node.sh("ls /etc/big | wc -l; tail -c 4 /etc/big/9999").split() == ["10000", "9999"]


def test_a_large_file_with_a_hash_is_fetched_once(container: Node, server: tuple[str, Path]) -> None:
    url, folder = server
    large = b"0123456789abcdef" * 4_375_000  # 70 MB
    (folder / "k3s").write_bytes(large)
    pinned = f"contents: {{source: '{url}/k3s', verification: {{hash: sha256-{hashlib.sha256(large).hexdigest()}}}}}"
    config = butane(f"storage: {{files: [{{path: /var/bin/k3s, mode: 0755, {pinned}}}]}}\n")
    whole = f"{hashlib.sha256(large).hexdigest()}  /var/bin/k3s\n755\n"
    first = boot(container, config, fresh=True)
    assert "fetch-files" in [stage["stage"] for stage in first["stages"]]
    assert container.sh("sha256sum /var/bin/k3s; stat -c %a /var/bin/k3s") == whole

    (folder / "k3s").unlink()
    container.sh("rm /var/bin/k3s")
    again = boot(container, config)
    assert again["origin"] == "fresh"
    assert "fetch-files" not in [stage["stage"] for stage in again["stages"]]
    assert container.sh("sha256sum /var/bin/k3s; stat -c %a /var/bin/k3s") == whole
