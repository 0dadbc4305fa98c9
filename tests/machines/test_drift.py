"""What a machine says it has beyond its image and configuration: nothing, until somebody does something.

What a boot does about it is seen on a container machine; a whole one is asked what it finds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.lab.machine import Node
from orlop.lab.wait import reboot
from orlop.steps import Steps
from orlop.workspace import Workspace
from tests.machines.machines import VERDICT_SECONDS
from tests.machines.saved import restored
from tests.machines.spare import spare, spare_container, spare_plan

LAB = "vmdrift"
LAB_OF_CONTAINER = "vmdriftc"
# a sealed /etc is opened as an intruder with root would do it
UNSEAL = "mountpoint -q /etc && mount -o remount,bind,rw /etc"


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with spare(ws, image, LAB) as there:
        yield there


def diff(*words: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "orlop", "node", "diff", "n1", "--name", LAB, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


def differences(node: Node) -> list[dict[str, Any]]:
    ran = node.run("orlop", "diff", "--json")
    found = json.loads(ran.out)
    assert ran.code == (1 if found["differences"] else 0)
    assert found["drift"] == bool(found["differences"])
    listed: list[dict[str, Any]] = found["differences"]
    return listed


def test_a_healthy_machine_has_none_and_says_so(node: Node) -> None:
    assert differences(node) == []
    for words in ("orlop diff", "orlop node diff"):
        assert node.sh(words) == "no difference: this machine is its image and its configuration\n"
    assert diff() == (0, "no difference: n1 is its image and its configuration\n", "")
    assert node.sh("stat -c %a /run/orlop/expected.json") == "600\n"


def test_workloads_are_no_drift(node: Node) -> None:
    node.sh("systemd-run -q --unit=workload sleep 600; mkdir -p /var/lib/app; echo 1 > /var/lib/app/data")
    assert differences(node) == []
    node.sh("systemctl stop workload; rm -r /var/lib/app")


DEEDS = (
    "useradd -U -u 4242 mallory",
    "echo more >> /etc/orlop-test.conf",
    "rm /etc/login.defs",
    "chmod 600 /etc/nsswitch.conf",
    "chown 1:1 /etc/gai.conf",
    "ln -sfn /nowhere /etc/resolv.conf",
    "touch /etc/new",
    "usermod -p '$6$salt$hash' root",
    "systemctl -q enable podman.socket",
    "systemctl -q mask systemd-timesyncd.service",
    "systemctl -q mask --runtime systemd-networkd-wait-online.service",
    "rm /var/lib/orlop-test.conf",
)


def do_by_hand_and_find(node: Node) -> None:
    node.sh(f"({UNSEAL}); set -e; " + "; ".join(DEEDS))
    found = {(d["path"], d["what"], d["name"]): d for d in differences(node)}
    wanted = {
        ("/etc/orlop-test.conf", "content", ""),
        ("/etc/login.defs", "removed", ""),
        ("/etc/nsswitch.conf", "mode", ""),
        ("/etc/gai.conf", "owner", ""),
        ("/etc/resolv.conf", "target", ""),
        ("/etc/new", "added", ""),
        ("/etc/passwd", "user", "mallory"),
        ("/etc/shadow", "user", "root"),
        ("/etc/group", "group", "mallory"),
        ("/etc/systemd/system/sockets.target.wants/podman.socket", "unit", "podman.socket"),
        ("/etc/systemd/system/systemd-timesyncd.service", "unit", "systemd-timesyncd.service"),
        ("/run/systemd/system/systemd-networkd-wait-online.service", "unit", "systemd-networkd-wait-online.service"),
        ("/var/lib/orlop-test.conf", "removed", ""),
    }
    assert wanted <= found.keys()
    assert {k[0] for k in found.keys() - wanted} <= {
        *(f"/etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")),
        *("/etc/subuid", "/etc/subgid", "/etc/.pwd.lock", "/etc/systemd/system", "/etc"),
    }, "and what those programs leave behind"
    assert found["/etc/orlop-test.conf", "content", ""]["origin"] == "configuration"
    assert "storage.files.1" in found["/var/lib/orlop-test.conf", "removed", ""]["cause"]
    assert found["/etc/nsswitch.conf", "mode", ""]["expected"] == "0644"
    assert "changed 20" in found["/etc/new", "added", ""]["cause"]
    assert "salt" not in json.dumps(list(found.values()))

    code, out, _ = diff("--name", node.paths.name)
    assert code == 1
    assert "~ unit systemd-timesyncd.service: /etc/systemd/system/systemd-timesyncd.service" in out
    assert json.loads(diff("--name", node.paths.name, "--json")[1])["differences"]


def test_what_is_done_by_hand_is_found_and_a_reboot_takes_it_back(ws: Workspace, image: Path) -> None:
    with spare_container(ws, image, LAB_OF_CONTAINER) as node:
        do_by_hand_and_find(node)
        reboot(node, Steps(), timeout=VERDICT_SECONDS)
        assert differences(node) == []
        assert node.sh("cat /var/lib/orlop-test.conf") == "var\n"


def test_what_is_done_by_hand_is_found_on_a_whole_machine(ws: Workspace, image: Path) -> None:
    """That a boot takes it back there is shown where there is one (test_reset.py)."""
    with restored(ws, spare_plan(ws, image, "vmdrifted")) as there:
        do_by_hand_and_find(there.node("n1"))


def test_what_cannot_be_told_is_status_2_and_words(node: Node) -> None:
    node.sh("mv /run/orlop/expected.json /run/orlop/aside")
    try:
        code, out, err = diff()
    finally:
        node.sh("mv /run/orlop/aside /run/orlop/expected.json")
    assert (code, out) == (2, "")
    assert err.startswith("error: /run/orlop/expected.json is not there")
    assert "hint: " in err
    assert diff("--name", "nosuchlab")[0] == 2


def test_the_private_python_is_private_and_works_as_a_root(node: Node) -> None:
    python = "/usr/lib/orlop/runtime/usr/bin/python3.13"
    assert node.run("sh", "-c", "command -v python3 python3.13 pip").out == ""
    assert node.sh(f"{python} -I -S -B -c 'import json; print(json.dumps([1]))'") == "[1]\n"
    said = node.sh(
        "systemd-run -q --pipe --wait -p RootDirectory=/usr/lib/orlop/runtime -p MountAPIVFS=yes -p DynamicUser=yes "
        "/usr/bin/python3.13 -I -S -B -c 'import sys, orlop.node.drift.snapshot; print(sys.prefix, len(sys.path))'"
    )
    assert said == "/usr 3\n"
