"""Disks that fail, and file systems that turn read-only: the engine says so, waits, and goes on when it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.errors import NoSpace, OrlopError
from orlop.model.release.index import BLOCK
from orlop.model.update.memory import Memory
from orlop.model.update.state import Staged, Verifying
from orlop.node.update.catalog.unsigned import recall
from orlop.node.update.host import Host
from orlop.node.update.journal import NAME, Journal
from orlop.node.update.slot import device
from orlop.node.update.slot.device import DiskFault, OpenFile
from orlop.node.update.slot.esp import EspFolder
from simulators import machine as machines
from simulators.medium import Write
from tests.unit.node.update.loops import SECOND, V2, Machine

ESP, SLOT_A, _, SLOT_B, _ = (window.start // BLOCK for window in machines.windows(machines.install(SECOND)))


def a_file(folder: Path) -> Path:
    """Below which nothing can be: as root, a mode forbids nothing."""
    path = folder / "file"
    path.write_text("")
    return path


@pytest.mark.parametrize(
    ("deed", "names"),
    [
        (lambda _: device.read(OpenFile(Path("/proc/self/mem")), 0, BLOCK), "/proc/self/mem cannot be used: Input"),
        (lambda _: OpenFile(Path("/proc/self/mem"), writable=True).write(b"x", 0), "/proc/self/mem"),
        (lambda at: OpenFile(at, writable=True), "cannot be used: Is a directory"),
        (lambda at: EspFolder(a_file(at)), "file/EFI/Linux cannot be used: Not a directory"),
        (lambda at: EspFolder(at).rename("gone.part", "x.efi"), "EFI/Linux/gone.part cannot be used"),
        (lambda at: EspFolder(at).size("gone.part"), "EFI/Linux/gone.part cannot be used"),
        (lambda at: Journal(a_file(at)).save(Memory()), "file/journal cannot be used: Not a directory"),
        (lambda at: Host(a_file(at)).reboot(), "run/orlop/update/reboot cannot be used"),
        (lambda at: recall(a_file(at)), "file/from.json cannot be used"),
    ],
)  # fmt: skip
def test_what_the_kernel_says_names_the_file_and_what_to_do(
    tmp_path: Path, deed: Callable[[Path], object], names: str
) -> None:
    with pytest.raises(DiskFault, match=names) as e:
        deed(tmp_path)
    assert "journalctl -k" in e.value.hint


def test_a_read_only_file_system_is_no_reason_to_replace_the_disk() -> None:
    with pytest.raises(DiskFault, match="Read-only file system") as e, device.faults(Path("/var/lib/orlop")):
        raise OSError(30, "Read-only file system")
    assert "then reboot" in e.value.hint


def test_a_full_disk_is_another_error() -> None:
    with pytest.raises(NoSpace, match="no space left to write /dev/full"):
        OpenFile(Path("/dev/full"), writable=True).write(b"x", 0)


def esp_is_gone(machine: Machine) -> Callable[[], None]:
    machine.world.medium.unreadable.update(range(ESP, SLOT_A))
    return machine.world.medium.unreadable.clear


def nothing_can_be_written(machine: Machine) -> Callable[[], None]:
    def refuse(_: Write | None) -> None:
        raise DiskFault("/dev/vda cannot be used: Input/output error", hint="replace it")

    given = machine.world.medium.before_write
    machine.world.medium.before_write = refuse
    return lambda: setattr(machine.world.medium, "before_write", given)


@pytest.mark.parametrize("fail", [esp_is_gone, nothing_can_be_written])
def test_the_daemon_says_it_backs_off_and_goes_on(
    tmp_path: Path, fail: Callable[[Machine], Callable[[], None]]
) -> None:
    machine = Machine(tmp_path)
    machine.publish(SECOND)
    machine.world.offered = SECOND.target
    heal = fail(machine)
    assert machine.turns() > 0
    found = machine.daemon.document()
    assert "cannot be" in found["failure"] and found["retry_at"] and found["failures"] == 1
    assert any("cannot be" in line for line in machine.told)
    begun, first = machine.world.now, machine.world.engine.memory.retry_at
    assert first
    machine.world.now = first
    machine.turns()
    again = machine.world.engine.memory.retry_at
    assert again and again - first > first - begun, "later each time"
    heal()
    machine.world.now = again
    machine.turns()
    assert machine.daemon.document()["state"]["is"] == "rebooting"


def test_without_a_journal_the_update_goes_on_and_what_people_ask_for_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "state" / NAME).unlink(missing_ok=True)
    (tmp_path / "state" / NAME).mkdir(parents=True)
    machine.publish(SECOND)
    machine.world.offered = SECOND.target
    with pytest.raises(OrlopError, match="journal cannot be used: Is a directory"):
        machine.ask("hold", reason="why")
    assert machine.daemon.document()["hold"] == ""
    machine.turns()
    assert "journal cannot be used" in machine.daemon.document()["note"]
    assert machine.asked_to_reboot


def test_a_block_that_cannot_be_read_is_written_anew_where_the_new_version_goes(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    medium = machine.world.medium
    medium.unreadable.update((SLOT_B, SLOT_B + 7, SLOT_B + 63))
    machine.publish(SECOND)
    machine.ask("update", to=str(V2), reboot=False)
    machine.turns()
    assert isinstance(machine.world.engine.memory.state, Staged)
    assert not medium.unreadable


def test_one_that_goes_bad_after_it_was_written_is_written_again(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    medium = machine.world.medium
    machine.publish(SECOND)
    machine.ask("update", to=str(V2), reboot=False)
    while not isinstance(machine.world.engine.memory.state, Verifying):
        machine.daemon.turn()
    medium.unreadable.add(SLOT_B + 7)
    machine.turns()
    assert "cannot be read" in machine.daemon.document()["failure"]
    at = machine.world.engine.memory.retry_at
    assert at
    machine.world.now = at
    machine.turns()
    assert isinstance(machine.world.engine.memory.state, Staged) and not medium.unreadable


def test_one_of_the_running_version_is_fetched_instead_of_copied(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    shared = next(
        n for n in range(64) if SECOND.usr[n * BLOCK :][:BLOCK] == machine.world.first.usr[n * BLOCK :][:BLOCK]
    )
    machine.world.medium.unreadable.add(SLOT_A + shared)
    machine.publish(SECOND)
    machine.ask("update", to=str(V2), reboot=False)
    machine.turns()
    assert isinstance(machine.world.engine.memory.state, Staged)
    assert machine.world.medium.unreadable == {SLOT_A + shared}
