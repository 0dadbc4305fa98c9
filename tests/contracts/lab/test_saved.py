"""Saved labs with the real QEMU, on machines that have only their firmware; booted ones are in tests/machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.errors import BadInput, Busy, CommandFailed, Missing, TimedOut
from orlop.files import remove_tree
from orlop.lab import lab
from orlop.lab.images import LabImage
from orlop.lab.lab import Lab
from orlop.lab.machine import Node
from orlop.lab.paths import LabPaths
from orlop.lab.plan import LabPlan
from orlop.lab.report import describe, lines
from orlop.lab.saved import store, unfinished
from orlop.lab.source import Given, LabSource, Way
from orlop.machines import qmp
from orlop.machines.pids import find
from orlop.machines.ports import Forward, is_free, pick
from orlop.machines.tools import PROGRAMS
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk]

RUN = textwrap.dedent(
    """
    import sys, signal
    from orlop.lab import lab
    from orlop.steps import Steps
    from orlop.workspace import Workspace
    signal.signal(signal.SIGTERM, lambda n, f: sys.exit(143))
    ws = Workspace.find()
    if sys.argv[1] == "save":
        lab.save(ws, Steps(), "a", "s")
    else:
        lab.restore(ws, Steps(), "s", name="b", timeout=60)
    """
)


def quiet() -> Steps:
    return Steps(quiet=True)


def up(ws: Workspace, image: LabImage, **more: object) -> Lab:
    made = lab.up(ws, quiet(), LabPlan(image, **{"name": "a", "memory_mib": 256, **more}))  # type: ignore[arg-type]
    end = time.monotonic() + 60
    for node in made.nodes:
        while not node.console_text() and time.monotonic() < end:
            time.sleep(0.05)
    return made


def save(ws: Workspace, name: str = "s") -> None:
    lab.save(ws, quiet(), "a", name)


def restore(ws: Workspace, name: str = "b", **more: object) -> Lab:
    return lab.restore(ws, quiet(), "s", name=name, **more)  # type: ignore[arg-type]


def goes(node: Node) -> bool:
    status = qmp.ask(node.at.qmp, "query-status")
    assert isinstance(status, dict)
    return bool(status["status"] == "running")


def saved_files(ws: Workspace) -> dict[str, tuple[int, int]]:
    folder = ws.saved / "s"
    return {str(f.relative_to(folder)): (f.stat().st_size, f.stat().st_mtime_ns) for f in folder.rglob("*")}


def clear(ws: Workspace, *names: str) -> None:
    for name in names:
        lab.down(ws, name)
    lab.remove_saved(ws, "s")
    assert not ws.saved.exists()


def test_only_the_machines_that_are_needed_go_on(ws: Workspace, image: LabImage) -> None:
    up(ws, image, nodes=2)
    save(ws)
    there = restore(ws, on=("n2",))
    assert [node.running for node in there.nodes] == [False, True]
    assert goes(there.node("n2"))
    there.node("n1").start()
    assert goes(there.node("n1"))
    clear(ws, "a", "b")


def test_a_lab_is_saved_goes_on_and_is_restored_twice_at_the_same_time(ws: Workspace, image: LabImage) -> None:
    made = up(ws, image, nodes=2, publish=(Forward(0, 80),), data_disks_mib=(16,))
    save(ws)
    assert all(goes(node) for node in made.nodes)
    assert store.names(ws) == ["s"]
    assert (ws.saved / "s").stat().st_mode & 0o777 == 0o700
    before = saved_files(ws)
    said = made.node("n1").console_text()
    lab.down(ws, "a")
    image.raw.unlink()
    labs = [restore(ws, name) for name in ("b", "c")]
    assert all(goes(node) for there in labs for node in there.nodes)
    held = [port for there in labs for node in there.state().nodes for port in node.ports]
    assert len(set(held)) == len(held) == 8
    assert not any(is_free(port) for port in held)
    for there in labs:
        assert [node.port(80) > 0 for node in there.nodes] == [True, True]
        assert there.node("n1").console_text().startswith(said[:100])
        assert describe(there).saved == "s"
        assert ", restored from s" in lines(describe(there))[0]
        assert not (there.node("n1").at.folder / "memory").exists()
        assert unfinished.left(there.paths) is None
    labs[0].node("n1").power_cut()
    labs[0].node("n1").start()
    assert goes(labs[0].node("n1")), "from the disk over the saved one"
    assert saved_files(ws) == before, "nothing is ever written to it"
    lab.remove_saved(ws, "s")
    assert goes(labs[1].node("n2")), "labs that were made from it have all they need"
    labs[1].node("n2").power_cut()
    labs[1].node("n2").start()
    lab.save(ws, quiet(), "b", "s")
    again = restore(ws, "d")
    assert all(goes(node) for node in again.nodes), "a restored lab can be saved, too"
    clear(ws, "b", "c", "d")


def test_ports_can_be_chosen(ws: Workspace, image: LabImage) -> None:
    up(ws, image, publish=(Forward(0, 80),))
    save(ws)
    lab.down(ws, "a")
    wished = pick((), 28000)
    there = restore(ws, publish=[Forward(wished, 80), Forward(0, 443)])
    assert there.node("n1").port(80) == wished
    assert there.node("n1").port(443)
    with pytest.raises(Busy, match="belongs to another lab"):
        restore(ws, "c", publish=[Forward(wished, 80)])
    assert lab.names(ws) == ["b"]
    clear(ws, "b")


def test_what_is_off_or_cut_stays_so(ws: Workspace, image: LabImage) -> None:
    made = up(ws, image, nodes=2)
    made.node("n1").power_cut()
    made.node("n2").cut()
    save(ws)
    there = restore(ws)
    assert not there.node("n1").running
    assert there.state().node("n2").cut
    assert goes(there.node("n2"))
    there.node("n1").start()
    clear(ws, "a", "b")


def test_machines_are_the_same_under_another_name(ws: Workspace, image: LabImage) -> None:
    given = Given(LabSource(Way.FW_CFG), b"{}")
    made = up(ws, image, given=(given,))
    save(ws)
    again = restore(ws)

    def identity(there: Lab) -> list[str]:
        process = there.state().node("n1").process
        assert process is not None
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode().split("\0")
        return [word for word in words if "mac=" in word or (len(word) == 36 and word.count("-") == 4)]

    assert identity(made) == identity(again)
    assert len(identity(made)) == 3
    assert again.node("n1").at.ignition.read_bytes() == b"{}"
    again.node("n1").power_cut()
    again.node("n1").start()
    assert identity(made) == identity(again)
    clear(ws, "a", "b")


def test_names_that_are_taken_and_things_that_are_not_there(ws: Workspace, image: LabImage) -> None:
    with pytest.raises(Missing, match="there is no lab 'a'"):
        save(ws)
    with pytest.raises(Missing, match="there is no saved lab 's'"):
        restore(ws)
    with pytest.raises(Missing, match="there is no saved lab 's'"):
        lab.remove_saved(ws, "s")
    with pytest.raises(BadInput, match="not a valid name for a saved lab"):
        save(ws, "../x")
    made = up(ws, image)
    save(ws)
    with pytest.raises(Busy, match="there is a saved lab 's' already"):
        save(ws)
    with pytest.raises(Busy, match="there is a lab 'a' already"):
        restore(ws, "a")
    made.node("n1").power_cut()
    made.node("n1").at.write_log.touch()
    with pytest.raises(BadInput, match="has its disk's writes recorded"):
        save(ws, "t")
    assert store.names(ws) == ["s"]
    clear(ws, "a")


def _record(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        record = json.loads((folder / "saved.json").read_text())
        change(record)
        (folder / "saved.json").write_text(json.dumps(record))

    return apply


def _garbage(file: Path) -> None:
    """Other bytes, of the same length."""
    file.write_bytes(os.urandom(file.stat().st_size))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no record": (lambda f: (f / "saved.json").unlink(), "saved.json cannot be read"),
    "garbage record": (lambda f: (f / "saved.json").write_bytes(os.urandom(99)), "it is not valid JSON"),
    "memory cut off": (lambda f: os.truncate(f / "n1/memory", 1 << 20), "n1/memory is 1048576 bytes long"),
    "no disk": (lambda f: (f / "n1/disk.qcow2").unlink(), "n1/disk.qcow2 is missing"),
    "no machine": (lambda f: remove_tree(f / "n1"), "is missing"),
    "garbage memory": (lambda f: _garbage(f / "n1/memory"), "restoring the memory of n1 failed"),
    "garbage disk": (lambda f: _garbage(f / "n1/disk.qcow2"), "making the disks failed"),
    "another image": (lambda f: _garbage_copy(f / "base.raw"), "is not the image"),
    "another QEMU": (_record(lambda r: r.update(qemu="9.9.9")), "is of QEMU 9.9.9, and here is QEMU 10"),
    "another machine": (_record(lambda r: r.update(definitions={"n1": "0"})), "is another machine than this orlop"),
    "another processor": (_record(lambda r: r.update(processor="0")), "on another processor"),
    "another accelerator": (
        _record(lambda r: r["lab"]["acceleration"].update(name="hvf")),  # type: ignore[index]
        "ran under hvf, and here machines run under",
    ),
}


def _garbage_copy(file: Path) -> None:
    """Another disk of the same length, in place of the link."""
    size = file.stat().st_size
    file.unlink()
    file.write_bytes(os.urandom(1 << 20))
    os.truncate(file, size)


@pytest.fixture
def kept(ws: Workspace, image: LabImage) -> Path:
    up(ws, image)
    save(ws)
    lab.down(ws, "a")
    return ws.saved / "s"


@pytest.mark.parametrize("how", DAMAGE)
def test_what_is_damaged_or_of_another_making_is_refused(ws: Workspace, kept: Path, how: str) -> None:
    damage, said = DAMAGE[how]
    damage(kept)
    with pytest.raises((BadInput, CommandFailed), match=said) as caught:
        restore(ws)
    if not isinstance(caught.value, CommandFailed) or "memory" in how:
        assert caught.value.hint
    assert lab.names(ws) == []
    assert find(PROGRAMS, [ws.state, LabPaths(ws, "b").run]) == []
    clear(ws)


def test_a_lab_that_does_not_answer_is_removed(ws: Workspace, kept: Path) -> None:
    with pytest.raises(TimedOut, match="no command reached n1 within 2 s") as caught:
        restore(ws, timeout=2.0)
    console = ws.state / "logs" / "lab-b-n1-console.log"
    assert str(console) in caught.value.hint
    assert console.exists()
    assert lab.names(ws) == []
    assert kept.is_dir()
    clear(ws)


def begin(ws: Workspace, doing: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, doing],
        env={**os.environ, "ORLOP_STATE": str(ws.state), "PYTHONPATH": str(ws.root)},
        stderr=subprocess.PIPE,
    )


def interrupt(child: subprocess.Popen[bytes], sig: signal.Signals, mark: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not mark() and time.monotonic() < end and child.poll() is None:
        time.sleep(0.001)
    assert child.poll() is None, "it ended before it could be interrupted"
    child.send_signal(sig)
    _, err = child.communicate(timeout=60)
    assert child.returncode in (-sig, 143), f"{child.returncode}: {err.decode()}"


def ended(ws: Workspace) -> bool:
    """Whether nothing of the lab runs. What a killed process had started ends with it, a moment later."""
    end = time.monotonic() + 10
    while left := find(PROGRAMS, [ws.state, LabPaths(ws, "b").run]):
        if time.monotonic() > end:
            raise AssertionError(left)
        time.sleep(0.05)
    return True


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("sig", SIGNALS)
@pytest.mark.parametrize("when", ["n1", "n1/memory", "n2/disk.qcow2"])
def test_an_interrupted_save_lets_the_machines_go_on(
    ws: Workspace, image: LabImage, when: str, sig: signal.Signals
) -> None:
    up(ws, image, nodes=2)
    child = begin(ws, "save")
    interrupt(child, sig, lambda: any(ws.saved.glob(f".making-*/{when}")))
    made = lab.open_lab(ws, "a")
    assert all(goes(node) for node in made.nodes)
    assert not (made.paths.folder / "unfinished.json").exists()
    assert not ws.saved.exists()
    save(ws)
    clear(ws, "a")


@pytest.mark.parametrize("sig", SIGNALS)
@pytest.mark.parametrize("when", ["unfinished.json", "n1/memory", "n1/qemu.pid"])
def test_an_interrupted_restore_leaves_nothing(ws: Workspace, kept: Path, when: str, sig: signal.Signals) -> None:
    before = saved_files(ws)
    child = begin(ws, "restore")
    interrupt(child, sig, (LabPaths(ws, "b").folder / when).exists)
    with pytest.raises(Missing):
        lab.open_lab(ws, "b")
    assert lab.names(ws) == []
    assert ended(ws)
    assert saved_files(ws) == before
    assert kept.is_dir()
    clear(ws)


def test_a_removal_that_was_killed_is_gone_on_with(ws: Workspace, kept: Path, image: LabImage) -> None:
    kept.rename(kept.with_name(".making-s-999999999"))
    up(ws, image)
    assert store.names(ws) == []
    assert not ws.saved.exists()
    lab.down(ws, "a")
