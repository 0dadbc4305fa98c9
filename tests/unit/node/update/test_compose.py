"""The daemon is put together from what is on the machine; what is wrong there is said, and ends nothing."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orlop.cluster.lock import ClusterLock, LockTaker
from orlop.errors import OrlopError
from orlop.node.update.__main__ import compose
from orlop.node.update.api.client import ask, the_status
from orlop.node.update.api.server import ApiServer, Handlers
from orlop.node.update.engine import Engine
from orlop.node.update.fleetlock import FleetLock
from orlop.node.update.host import Host
from orlop.node.update.loop import AGAIN, LOOK_SECONDS, Loop
from orlop.node.update.outside import Keeper
from orlop.node.update.slot.device import DiskFault
from simulators.machine import install
from tests.unit.node.update.loops import FIRST, V1, Machine


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A machine's root: its kernel's files, its disk, its ESP."""
    top = tmp_path / "top"
    disk = top / "sys/devices/vda"
    for folder in (top / "proc", top / "dev", top / "boot", top / "etc/orlop", disk / "vda2"):
        folder.mkdir(parents=True)
    (top / "sys/block/dm-0/dm").mkdir(parents=True)
    (top / "sys/block/dm-0/dm/name").write_text("usr\n")
    (top / "sys/block/dm-0/slaves").mkdir()
    (top / "sys/block/dm-0/slaves/vda2").symlink_to(disk / "vda2")
    (disk / "vda2/partition").write_text("2\n")
    (top / "proc/cmdline").write_text(f"usrhash={FIRST.index.root_hash}\n")
    medium = install(FIRST)
    (top / "dev/vda").write_bytes(medium.durable.read(0, medium.size))
    return top


def test_a_machine_that_is_whole(top: Path, tmp_path: Path) -> None:
    daemon = compose(Host(top), tmp_path / "state")
    assert daemon.engine and daemon.engine.writer.running == V1 and not daemon.problem


def test_a_machine_of_a_cluster_takes_the_clusters_lock_unless_it_names_another(top: Path, tmp_path: Path) -> None:
    def lock() -> object:
        engine = compose(Host(top), tmp_path / "state").engine
        assert engine
        return engine.outside.lock

    (top / "etc/machine-id").write_text("0" * 32 + "\n")
    assert lock() is None
    (top / "etc/orlop/cluster.toml").write_text("format = 1\n")
    assert lock() == ClusterLock(LockTaker.ENGINE, top)
    (top / "etc/orlop/update.toml").write_text("format = 1\n[lock]\nurl = 'http://lock.example'\n")
    assert isinstance(lock(), FleetLock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change anything")
def test_a_request_goes_from_the_command_through_the_loop_and_back(top: Path, tmp_path: Path) -> None:
    loop = compose(Host(top), tmp_path / "state")
    path = tmp_path / "update.sock"
    server = ApiServer(Handlers(loop.document, loop.metrics, loop.change), path)
    server.start()
    try:
        with ThreadPoolExecutor(1) as command:
            asked = command.submit(ask, "POST", "/v1/hold", {"reason": "a holiday"}, at=path)
            while not asked.done():
                loop.turn()
        assert asked.result()["status"]["hold"] == "a holiday"
        assert the_status(at=path)["slots"][0]["version"] == str(V1)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("name", ["etc/orlop/root.json", "usr/share/orlop/root.json"])
def test_keys_that_cannot_be_read_are_the_reason(top: Path, tmp_path: Path, name: str) -> None:
    (top / name).mkdir(parents=True)  # as root, a mode forbids nothing
    daemon = compose(Host(top), tmp_path / "state")
    assert daemon.turn() == LOOK_SECONDS
    said = daemon.document()["reason"]
    assert said.startswith(f"{top / name} cannot be read: Is a directory") and "0644" in said


def test_settings_that_are_wrong_are_the_reason(top: Path, tmp_path: Path) -> None:
    (top / "etc/orlop/update.toml").write_text("format = 1\n[lock]\nurl = 'http://[bad'\n")
    daemon = compose(Host(top), tmp_path / "state")
    daemon.turn()
    assert "update.toml: lock.url must be http://… or https://…: the address in" in daemon.document()["reason"]


def test_an_esp_that_cannot_be_used_is_the_reason(top: Path, tmp_path: Path) -> None:
    (top / "boot").rmdir()
    (top / "boot").write_text("")
    daemon = compose(Host(top), tmp_path / "state")
    daemon.turn()
    assert "boot/EFI/Linux cannot be used: Not a directory" in daemon.document()["reason"]


def test_what_may_be_over_is_tried_again_after_a_while(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    now, tried = [0.0], []

    def make(keeper: Keeper) -> Engine:
        tried.append(now[0])
        if len(tried) < 3:
            raise DiskFault("/dev/vda cannot be used", hint="look")
        return machine.world.start_engine(keeper)

    daemon = Loop(
        make, machine.place, machine.settings, Host(machine.top), clock=lambda: now[0],
        say=machine.log.append, tell=machine.told.append,
    )  # fmt: skip
    machine.daemon = daemon
    wait = AGAIN.total_seconds()
    for now[0] in (0.0, wait / 2, wait):
        daemon.turn()
        assert daemon.document()["reason"] == "/dev/vda cannot be used (look)"
        with pytest.raises(OrlopError, match="does not update: /dev/vda"):
            machine.ask("hold")
    now[0] = 2 * wait
    daemon.turn()
    assert tried == [0.0, wait, 2 * wait]
    assert daemon.document()["slots"][0]["version"] == str(V1)
    assert machine.ask("hold", reason="why")["message"] == "updates are held: why"
