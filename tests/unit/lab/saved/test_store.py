from __future__ import annotations

import os
from pathlib import Path

import pytest

from orlop.errors import BadInput, Busy, Missing
from orlop.lab.saved import store
from orlop.lab.saved.record import Record, dump
from orlop.lab.state import LabState, NodeState
from orlop.machines.accel import Acceleration
from orlop.machines.ports import Forward
from orlop.workspace import Workspace

NODE = NodeState("n1", 1, 22000, (Forward(8080, 80),), 2, 2048)
LAB = LabState("a", "base.raw", "20261128.1", 5, Acceleration("tcg", "no"), "", (NODE,))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path)


def make(ws: Workspace, name: str = "s") -> Record:
    folder = ws.saved / name
    (folder / "n1").mkdir(parents=True)
    (folder / "base.raw").write_bytes(b"disk")
    (folder / "n1" / "memory").write_bytes(b"x" * 5000)
    record = Record(name, 7, LAB, ("n1",), "10", "", store.fingerprint(folder / "base.raw"), {}, {"n1/memory": 5000})
    (folder / "saved.json").write_text(dump(record))
    return record


def test_one_is_found_checked_and_removed(ws: Workspace) -> None:
    assert store.names(ws) == []
    record = make(ws)
    assert store.names(ws) == ["s"]
    assert store.read(ws, "s") == record
    store.check(ws, record, "s")
    with pytest.raises(Busy, match="there is a saved lab 's' already"):
        store.refuse_existing(ws, "s")
    assert store.size(ws, "s") >= 5000
    store.remove(ws, "s")
    assert not ws.saved.exists()
    with pytest.raises(Missing):
        store.remove(ws, "s")


def test_another_disk_in_place_of_the_image_is_seen(ws: Workspace) -> None:
    record = make(ws)
    (ws.saved / "s" / "base.raw").write_bytes(b"desk")
    with pytest.raises(BadInput, match="is not the image that its machines were made from"):
        store.check(ws, record, "s")


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(ws: Workspace) -> None:
    make(ws)
    for pid in (999_999_999, os.getppid()):
        (ws.saved / f".making-t-{pid}").mkdir()
    assert [path.name for path in store.leftovers(ws)] == [".making-t-999999999"]
    store.tidy(ws)
    assert sorted(path.name for path in ws.saved.iterdir()) == [f".making-t-{os.getppid()}", "s"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", ".making-x", "a" * 32])
def test_wrong_names_are_refused(ws: Workspace, name: str) -> None:
    with pytest.raises(BadInput, match="not a valid name for a saved lab"):
        store.place(ws, name)
