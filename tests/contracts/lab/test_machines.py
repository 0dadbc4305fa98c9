"""The lab's life with the real QEMU and the real switch, on machines that have nothing but their firmware.

A disk with an empty partition table boots no system, so a lab of two takes a second; what a booted system adds is in
tests/machines. State lives in a folder of its own: labs of the developer are not touched.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.errors import BadInput, Busy, CommandFailed, Missing, NoSpace, TimedOut
from orlop.files import remove_tree
from orlop.lab import lab
from orlop.lab.images import LabImage
from orlop.lab.lab import Lab
from orlop.lab.paths import LabPaths, sdk_tools
from orlop.lab.plan import LabPlan
from orlop.lab.report import describe
from orlop.lab.wait import wait_verdicts
from orlop.machines import accel, qmp
from orlop.machines.pids import find, kill
from orlop.machines.ports import Forward, is_free, pick
from orlop.machines.qemu import ACCELERATORS
from orlop.machines.tools import PROGRAMS
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk]

UP = textwrap.dedent(
    """
    import sys, signal
    from pathlib import Path
    from orlop.lab import lab
    from orlop.lab.images import LabImage
    from orlop.steps import Steps
    from orlop.workspace import Workspace
    signal.signal(signal.SIGTERM, lambda n, f: sys.exit(143))
    ws = Workspace.find()
    plan = lab.LabPlan(LabImage(Path(sys.argv[1]), ""), name="a", nodes=2, memory_mib=256)
    lab.bring_up(ws, Steps(), plan, timeout=60)
    """
)


def plan(image: LabImage, **more: object) -> LabPlan:
    return LabPlan(image, **{"name": "a", "memory_mib": 256, **more})  # type: ignore[arg-type]


def quiet() -> Steps:
    return Steps(quiet=True)


def wait_for_console(made: Lab, node: str = "n1") -> None:
    end = time.monotonic() + 60
    while not made.node(node).console_text() and time.monotonic() < end:
        time.sleep(0.1)
    assert made.node(node).console_text()


def test_a_lab_lives_and_leaves_nothing(ws: Workspace, image: LabImage) -> None:
    made = lab.up(ws, quiet(), plan(image, nodes=2, publish=(Forward(0, 80),)))
    sockets = made.paths.run
    assert {n.name for n in made.nodes if n.running} == {"n1", "n2"}
    assert (sockets.stat().st_mode & 0o777, made.paths.login.key.stat().st_mode & 0o777) == (0o700, 0o600)
    ports = [p for n in made.state().nodes for p in n.ports]
    assert len(set(ports)) == len(ports) == 4
    assert not any(is_free(p) for p in ports)
    with socket.create_connection(("127.0.0.1", made.node("n1").port(80)), 5):
        pass
    report = describe(made)
    assert [(n.power, n.network, n.address) for n in report.nodes] == [
        ("on", "plugged in", "10.77.0.11"),
        ("on", "plugged in", "10.77.0.12"),
    ]
    lab.down(ws, "a")
    assert find(PROGRAMS, [sockets, ws.labs]) == []
    assert not sockets.exists()
    assert all(is_free(p) for p in ports)
    with pytest.raises(Missing, match="there is no lab 'a'"):
        lab.down(ws, "a")
    with pytest.raises(Missing):
        lab.open_lab(ws, "a")


def test_two_labs_share_nothing(ws: Workspace, image: LabImage) -> None:
    one, two = (lab.up(ws, quiet(), plan(image, name=name)) for name in ("a", "b"))
    assert lab.names(ws) == ["a", "b"]
    with pytest.raises(Busy, match="there is a lab 'a' already"):
        lab.up(ws, quiet(), plan(image))
    with pytest.raises(Busy, match="belongs to another lab"):
        lab.up(ws, quiet(), plan(image, name="c", publish=(Forward(one.state().nodes[0].ssh_port, 80),)))
    assert lab.names(ws) == ["a", "b"]
    lab.down(ws, "a")
    assert two.node("n1").running
    lab.down(ws, "b")


def test_power_and_network_can_be_taken_and_given(ws: Workspace, image: LabImage) -> None:
    made = lab.up(ws, quiet(), plan(image))
    node = made.node("n1")
    wait_for_console(made)
    node.cut()
    assert made.state().node("n1").cut
    with pytest.raises(Busy, match="is cut off") as caught:
        node.run("true")
    assert "orlop lab heal n1" in caught.value.hint
    process = made.state().node("n1").process
    node.power_cut()
    with pytest.raises(Missing, match="n1 is off already"):
        node.power_cut()
    with pytest.raises(Missing, match="n1 is off") as off:
        node.run("true")
    assert "orlop lab start n1" in off.value.hint
    size = node.console_size()
    node.start()
    assert node.running
    assert made.state().node("n1").process != process
    assert made.state().node("n1").boots == (0, size)
    assert made.state().node("n1").cut, "an unplugged cable stays unplugged"
    with pytest.raises(Busy, match="runs already"):
        node.start()
    node.heal()
    assert not made.state().node("n1").cut
    wait_for_console(made)
    assert node.console_size() > size, "the console log is kept and continued"
    lab.down(ws, "a")


def test_a_machine_that_ends_by_itself_is_off(ws: Workspace, image: LabImage) -> None:
    made = lab.up(ws, quiet(), plan(image))
    qmp.ask(made.node("n1").at.qmp, "quit")
    with pytest.raises(CommandFailed, match="n1 went off while it was starting"):
        wait_verdicts(made.nodes, quiet(), timeout=30)
    assert describe(made).nodes[0].power == "off"
    lab.down(ws, "a")


def test_a_lab_that_does_not_come_up_is_removed_and_its_console_kept(ws: Workspace, image: LabImage) -> None:
    with pytest.raises(TimedOut, match="n1 gave no verdict within 8 s") as caught:
        lab.bring_up(ws, quiet(), plan(image), timeout=8)  # in which even a busy computer's firmware says something
    kept = ws.state / "logs" / "lab-a-n1-console.log"
    assert str(kept) in str(caught.value)
    assert kept.read_text(errors="replace")
    assert lab.names(ws) == []


def test_a_qemu_that_refuses_says_why(ws: Workspace, image: LabImage) -> None:
    made = lab.up(ws, quiet(), plan(image))
    node = made.node("n1")
    node.power_cut()
    node.at.disk.write_bytes(b"garbage")
    with pytest.raises(CommandFailed, match="starting n1 failed") as caught:
        node.start()
    assert "qcow2" in caught.value.tail
    lab.down(ws, "a")


def test_a_port_that_is_taken_stops_it_before_anything_is_made(ws: Workspace, image: LabImage) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with pytest.raises(Busy, match=f"port {port} on 127.0.0.1 is in use"):
            lab.up(ws, quiet(), plan(image, publish=(Forward(port, 80),)))
    assert not ws.labs.exists()


def test_a_port_that_was_taken_while_the_machine_was_off(ws: Workspace, image: LabImage) -> None:
    made = lab.up(ws, quiet(), plan(image, publish=(Forward(0, 80),)))
    node = made.node("n1")
    node.power_cut()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", node.port(80)))
        s.listen()
        with pytest.raises(Busy, match="in use by another program"):
            node.start()
    node.start()
    lab.down(ws, "a")


def test_no_space_stops_it_before_anything_is_made(ws: Workspace, image: LabImage, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        (small / "sdk").symlink_to(ws.sdk.resolve())
        with pytest.raises(NoSpace, match=r"a lab of 1 nodes needs 1\.0 GB"):
            lab.up(Workspace(ws.root, small), quiet(), plan(image))
        assert not (small / "lab").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def _own_pid_everywhere(paths: LabPaths) -> None:
    for file in paths.folder.glob("**/*.pid"):
        file.write_text(str(os.getpid()))


def _kill_switch(paths: LabPaths) -> None:
    for process in find(["vde_switch"], [paths.run]):
        assert kill(process)


def _file_for_folder(paths: LabPaths) -> None:
    remove_tree(paths.folder)
    paths.folder.write_text("")


BREAKAGE: dict[str, Callable[[LabPaths], object]] = {
    "no record": lambda p: p.state.unlink(),
    "garbage record": lambda p: p.state.write_bytes(os.urandom(500)),
    "record of another shape": lambda p: p.state.write_text(json.dumps({"schema": 1, "nodes": 3})),
    "no node folder": lambda p: remove_tree(p.folder / "n1"),
    "pid files that name another process": _own_pid_everywhere,
    "no sockets": lambda p: remove_tree(p.run),
    "no folder": lambda p: remove_tree(p.folder),
    "dead switch": _kill_switch,
    "a file where the folder was": _file_for_folder,
}


@pytest.mark.parametrize("how", BREAKAGE)
def test_a_broken_lab_can_be_brought_down(ws: Workspace, image: LabImage, how: str) -> None:
    made = lab.up(ws, quiet(), plan(image))
    BREAKAGE[how](made.paths)
    if "record" in how:
        with pytest.raises(BadInput) as caught:
            lab.open_lab(ws, "a")
        assert "orlop lab down --name a" in caught.value.hint
    lab.down(ws, "a")
    assert not made.paths.run.exists()
    assert find(PROGRAMS, [ws.state, made.paths.run]) == []
    lab.up(ws, quiet(), plan(image))
    lab.down(ws, "a")


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["lab.json", "sw", "n1/qemu.pid", "n2/console.log"])
def test_an_interrupted_up_leaves_nothing(ws: Workspace, image: LabImage, when: str, sig: signal.Signals) -> None:
    paths = LabPaths(ws, "a")
    child = subprocess.Popen(
        [sys.executable, "-c", UP, image.raw],
        env={**os.environ, "ORLOP_STATE": str(ws.state), "PYTHONPATH": str(ws.root)},
        stderr=subprocess.PIPE,
    )
    mark = paths.switch if when == "sw" else paths.folder / when
    end = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < end and child.poll() is None:
        time.sleep(0.002)
    assert child.poll() is None
    child.send_signal(sig)
    _, err = child.communicate(timeout=60)
    assert child.returncode == (-signal.SIGINT if sig is signal.SIGINT else 143), err.decode()
    assert lab.names(ws) == []
    assert find(PROGRAMS, [ws.state, paths.run]) == []
    assert not paths.run.exists()


def test_the_probe_runs_a_guest_to_its_end(shared: Workspace) -> None:
    assert accel.probe(sdk_tools(shared), "tcg").why == "a probe guest ran under tcg"
    refused = accel.probe(sdk_tools(shared), "nonsense")
    assert refused.name == "tcg"
    assert "nonsense" in refused.why


def test_acceleration_is_chosen_with_a_reason(ws: Workspace) -> None:
    chosen = lab.choose_acceleration(ws)
    assert chosen.name in ACCELERATORS
    assert chosen.why
    assert lab.choose_acceleration(ws) == chosen


def test_a_missing_tool_is_named(ws: Workspace, image: LabImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Missing, match="'bwrap' is not installed"):
        lab.up(ws, quiet(), plan(image))
    assert lab.names(ws) == []


def test_ports_of_a_lab_that_is_off_are_not_given_away(ws: Workspace, image: LabImage) -> None:
    made = lab.up(ws, quiet(), plan(image))
    node = made.node("n1")
    node.power_cut()
    held = made.state().node("n1").ssh_port
    assert pick((), held) == held, "nobody listens there"
    other = lab.up(ws, quiet(), plan(image, name="b"))
    assert held not in [p for n in other.state().nodes for p in n.ports]
    lab.down(ws, "a")
    lab.down(ws, "b")
