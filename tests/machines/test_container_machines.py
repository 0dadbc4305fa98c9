"""Container machines: all that a lab does, on the image in containers. Two with the demo, unless a test has its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.errors import CommandFailed, NotAllowed
from orlop.files import mounts_in
from orlop.lab import images, lab
from orlop.lab.machine import Node
from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.lab.paths import LabPaths
from orlop.lab.plan import LabPlan
from orlop.lab.report import describe
from orlop.lab.source import Given, LabSource, Way
from orlop.lab.wait import restart, wait_verdict
from orlop.machines.container import cgroup
from orlop.machines.container.driver import need_root
from orlop.machines.pids import find, kill
from orlop.machines.ports import LOOPBACK
from orlop.machines.tools import PROGRAMS
from orlop.node.config.kept import Deeds, save_deeds
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.httpd import serve
from tests.machines.booting import butane
from tests.machines.machines import Machines, watched

SECONDS = 60.0
CONFIG = """
passwd:
  users: [{name: core, uid: 1500}]
storage:
  files:
    - {path: /etc/orlop-test.conf, mode: 0640, contents: {inline: "one\\n"}}
    - {path: /var/lib/orlop-test.conf, overwrite: true, contents: {inline: "persists\\n"}}
systemd:
  units:
    - name: once.service
      enabled: true
      contents: |
        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/usr/bin/touch /run/once
        [Install]
        WantedBy=multi-user.target
"""


def plan(image: Path, name: str, config: bytes, nodes: int = 1, *, demo: bool = False) -> LabPlan:
    given = (Given(LabSource(Way.FW_CFG), config),)
    return LabPlan(images.resolve(Workspace.find(), str(image)), name, nodes, containers=nodes, demo=demo, given=given)


@pytest.fixture(scope="module")
def machines(ws: Workspace, image: Path) -> Iterator[Machines]:
    with watched(ws, plan(image, "cm", butane(CONFIG), 2, demo=True)) as there:
        yield there


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/", timeout=5) as answer:
        return str(answer.read().decode())


def test_a_machine_is_its_image_and_its_configuration(machines: Machines) -> None:
    said = machines.n1.sh(
        "cat /etc/orlop-test.conf /var/lib/orlop-test.conf; stat -c %a /etc/orlop-test.conf; id -u core; ls /run/once;"
        "findmnt -n -o FSTYPE,OPTIONS /; findmnt -n -o OPTIONS /var; findmnt -n -o OPTIONS /etc; orlop diff; hostname"
    ).splitlines()
    assert said[:5] == ["one", "persists", "640", "1500", "/run/once"]
    assert said[5].startswith("tmpfs")
    assert {"nosuid", "nodev"} <= set(said[6].split(","))
    assert said[7].startswith("ro")
    assert said[8:] == ["no difference: this machine is its image and its configuration", "n1"]
    assert machines.n1.sh("cat /proc/cmdline") == "\n"


def test_drift_is_seen(machines: Machines) -> None:
    made = "mkdir -p /run/systemd/system && touch /run/systemd/system/drift.service"
    machines.n1.sh(made)
    try:
        assert "drift.service" in machines.n1.run("orlop", "diff").out
    finally:
        machines.n1.sh("rm /run/systemd/system/drift.service")


def test_they_know_each_other_and_the_way_out(machines: Machines) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        script = f"getent hosts n2 && systemd-socket-activate --help > /dev/null; exec podman exec demo nc {{}} {port}"
        child = subprocess.Popen(
            machines.n1.argv(["sh", "-c", script.format(HOST_FROM_NODE)]), stdout=subprocess.PIPE, stdin=subprocess.PIPE
        )
        server.settimeout(10)
        connection, _ = server.accept()
        connection.sendall(b"from this computer\n")
        connection.close()
        out, _ = child.communicate(timeout=20)
    assert out.splitlines() == [b"10.77.0.12      n2", b"from this computer"]
    assert "n2" in machines.n1.sh("podman exec demo wget -qO- http://10.77.0.12:8080/")


def test_published_ports_lead_to_the_machines(machines: Machines) -> None:
    for node in (machines.n1, machines.n2):
        assert f"<strong>{node.name}</strong>" in page(node.port(8080))


def test_commands_pass_everything_through(machines: Machines) -> None:
    ran = machines.n1.run("sh", "-c", 'cat; echo "$0" "$1" >&2; exit 7', "a b", "c'd", stdin=b"\0in")
    assert (ran.code, ran.out, ran.err) == (7, "\0in", "a b c'd\n")


def test_a_terminal_is_the_machines_own(machines: Machines) -> None:
    """`tty` names a terminal in the machine, and a shell there can control jobs."""
    leader, follower = os.openpty()
    child = subprocess.Popen(
        machines.n1.argv(["sh", "-ic", "tty; sleep 0 & jobs; exit 5"], tty=True),
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    assert child.wait(20) == 5
    said = os.read(leader, 4096)
    os.close(leader)
    assert b"/dev/pts/" in said
    assert b"tty process group" not in said


def test_a_machine_that_is_cut_off_is_reached_by_commands_alone(machines: Machines) -> None:
    node = machines.n1
    node.cut()
    try:
        assert describe(machines.lab).nodes[0].network == "cut"
        assert node.sh("cat /sys/class/net/host0/carrier /sys/class/net/host1/carrier") == "0\n0\n"
        with pytest.raises(OSError, match=r"timed out|reset|refused"):
            page(node.port(8080))
        assert machines.n2.run("podman", "exec", "demo", "wget", "-T", "2", "-qO-", "http://10.77.0.11:8080/").code
    finally:
        node.heal()
    until = time.monotonic() + 20
    while "routable" not in node.sh("networkctl --no-legend list host0"):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert "n1" in page(node.port(8080))


def test_a_power_cut_ends_all_at_once_and_var_stays(machines: Machines) -> None:
    node = machines.n2
    node.sh("echo kept > /var/kept; touch /etc-is-not /run/gone")
    node.power_cut()
    group = cgroup.top() / machines.lab.paths.key / node.name
    assert (node.running, group.exists()) == (False, False)
    assert describe(machines.lab).nodes[1].power == "off"
    node.start()
    wait_verdict(node, Steps(), timeout=SECONDS)
    assert node.sh("cat /var/kept; ls /etc-is-not /run/gone 2>&1 | grep -c 'No such'") == "kept\n2\n"


def test_it_boots_again_by_itself_with_what_it_was_given_meanwhile(machines: Machines) -> None:
    node = machines.n2
    before = node.sh("cat /proc/sys/kernel/random/boot_id /etc/machine-id").split()
    assert node.reconfigure(Given(LabSource(Way.FW_CFG), butane(CONFIG.replace("one", "two"))))
    start = node.console_size()
    node.run("systemctl", "reboot")
    wait_verdict(node, Steps(), timeout=SECONDS, start=start)
    after = node.sh("cat /proc/sys/kernel/random/boot_id /etc/machine-id").split()
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    assert node.sh("cat /etc/orlop-test.conf") == "two\n"
    restart(node, Steps(), timeout=SECONDS)
    assert node.sh("cat /etc/orlop-test.conf") == "two\n"


def test_a_container_does_not_touch_this_computer(machines: Machines) -> None:
    """crun lays a device filter on the group that it finds itself in: that must be one of the machine's."""
    machines.n1.sh("podman exec demo true; podman run --rm --entrypoint true localhost/orlop-demo:latest")
    loop = subprocess.run(["losetup", "-f"], capture_output=True, text=True, check=True).stdout.strip()
    with Path(loop).open("rb"):  # EPERM, when a filter lies on our own group
        pass


def test_the_console_is_a_terminal(machines: Machines) -> None:
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(str(machines.n1.at.console))
        machines.n1.sh("echo said on the console > /dev/console")
        console.settimeout(10)
        said = b""
        while b"said on the console" not in said:
            said += console.recv(4096)
    assert "said on the console" in machines.n1.console_text()


def test_what_it_does_not_have_is_said(machines: Machines) -> None:
    report = describe(machines.lab)
    assert {node.kind for node in report.nodes} == {"container"}
    assert report.acceleration == "native"
    ran = machines.n1.run("orlop", "status")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2, "error: this is a container machine: it has no slots, and so no update engine",
    )  # fmt: skip
    assert machines.n1.sh("systemctl list-units --failed --no-legend") == ""
    checks = {c["check"]: c["ok"] for c in json.loads(machines.n1.sh("cat /run/orlop/health.json"))["checks"]}
    assert checks["podman"]
    assert all(checks.values())


def test_files_are_copied_by_scp(machines: Machines, ws: Workspace, tmp_path: Path) -> None:
    """sshd does it itself: there is no program for it on the machine."""
    (tmp_path / "file").write_text("by scp\n")
    options: list[str | Path] = ["-F", "none", "-i", machines.lab.paths.login.key, "-P", str(machines.n1.port(22))]
    options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    sdk_run(ws, ["scp", *options, tmp_path / "file", f"root@{LOOPBACK}:/var/by-scp"], what="scp", timeout=60)
    assert machines.n1.sh("cat /var/by-scp") == "by scp\n"


def test_a_factory_reset_keeps_what_is_named(machines: Machines) -> None:
    node = machines.n2
    node.sh("mkdir -p /var/app && echo keep > /var/app/keep && echo lose > /var/app/lose")
    node.sh("orlop reset --yes --no-reboot --keep /var/app/keep")
    restart(node, Steps(), timeout=SECONDS)
    assert node.sh("ls /var/app") == "keep\n"


def test_a_configuration_from_a_web_server(ws: Workspace, image: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/config.ign").write_bytes(butane(CONFIG))
    with serve(tmp_path / "site") as server:
        url = server.url.replace(LOOPBACK, HOST_FROM_NODE) + "/config.ign"
        given = (Given(LabSource(Way.URL, url), b""),)
        wished = LabPlan(images.resolve(ws, str(image)), "cm-url", containers=1, given=given)
        with lab.running(ws, Steps(), wished, timeout=SECONDS) as there:
            node = there.node("n1")
            assert node.sh("cat /etc/orlop-test.conf; orlop diff | tail -1") == (
                "one\nno difference: this machine is its image and its configuration\n"
            )
            assert json.loads(node.sh("cat /run/orlop/config.json"))["source"].endswith(url)
            assert "routable" in node.sh("networkctl --no-legend list host0")


def test_without_a_configuration_the_script_makes_what_the_program_would(
    ws: Workspace, image: Path, tmp_path: Path
) -> None:
    """`configure` does it as long as nothing was ever configured; with a record of anything it is orlop.node.config."""
    save_deeds(tmp_path / "done.json", Deeds(frozenset({"something"})))
    with lab.running(
        ws, Steps(), LabPlan(images.resolve(ws, str(image)), "cm-none", containers=1), timeout=SECONDS
    ) as there:
        node = there.node("n1")
        by_script, snapshot = reported(node), node.sh("cat /run/orlop/expected.json")
        assert by_script["stages"] == []
        assert node.run("orlop", "diff").code == 0
        folder = "/var/lib/orlop/config"
        node.sh(f"mkdir -p {folder} && echo '{(tmp_path / 'done.json').read_text()}' > {folder}/done.json")
        restart(node, Steps(), timeout=SECONDS)
        by_program = reported(node)
        assert [stage["stage"] for stage in by_program["stages"]] == ["fetch-offline", "files"]
        assert node.sh("cat /run/orlop/expected.json") == snapshot
        for report in (by_script, by_program):
            del report["stages"], report["seconds"]
        assert by_script == by_program


def reported(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.sh("cat /run/orlop/config.json"))
    return found


def test_a_configuration_with_disks_is_refused_in_words(ws: Workspace, image: Path) -> None:
    config = (
        b'{"ignition": {"version": "3.3.0"}, "storage": {"filesystems": [{"device": "/dev/sda", "format": "xfs"}]}}'
    )
    with pytest.raises(CommandFailed, match="a container machine, which has no disks to partition"):
        lab.bring_up(ws, Steps(), plan(image, "cm-bad", config), timeout=SECONDS)
    assert "cm-bad" not in lab.names(ws)


WITHOUT_LOOPS = """
for device in /dev/loop-control /dev/loop[0-9]*; do mount --bind /dev/null $device; done
"$@" lab up --kind container --name cm-loop --timeout 60 --image "$IMAGE" || exit
"$@" lab exec n1 --name cm-loop -- sh -c 'findmnt -n -o FSTYPE,OPTIONS /usr; orlop diff'
"$@" lab down --name cm-loop
"""


def test_where_no_image_can_be_mounted_it_is_unpacked(ws: Workspace, image: Path) -> None:
    """In a mount namespace without loop devices."""
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", WITHOUT_LOOPS, "sh", sys.executable, "-m", "orlop"],
        env={**os.environ, "IMAGE": str(image), "PYTHONPATH": str(ws.root), "ORLOP_STATE": str(ws.state)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    kind, difference = ran.stdout.splitlines()[-2:]
    assert kind.split()[0] != "erofs"
    assert kind.split()[1].startswith("ro,")
    assert difference == "no difference: this machine is its image and its configuration"


def test_whatever_dies_down_leaves_nothing(ws: Workspace, image: Path) -> None:
    made = lab.bring_up(ws, Steps(), plan(image, "cm-crash", butane(""), 2), timeout=SECONDS)
    process, switch = made.node("n1").state().process, made.state().switch
    assert process is not None
    assert switch is not None
    assert kill(process)
    assert describe(made).nodes[0].power == "off"
    assert kill(switch)
    paths = LabPaths(ws, "cm-crash")
    paths.state.write_text("garbage")
    lab.down(ws, "cm-crash")
    assert find(PROGRAMS, [paths.folder, paths.run]) == []
    assert not (cgroup.top() / paths.key).exists()
    assert (paths.folder.exists(), paths.run.exists()) == (False, False)
    assert mounts_in(ws.labs) == []


def test_one_that_is_not_root_is_told_what_to_take() -> None:
    child = os.fork()
    if child == 0:  # a process of its own: what it gives up does not come back
        os.setuid(65534)
        try:
            need_root()
        except NotAllowed as e:
            os._exit(0 if "need root" in e.message and "--kind vm" in e.hint else 1)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
