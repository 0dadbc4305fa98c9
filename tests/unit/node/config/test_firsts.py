"""What is made once is whole, or made anew: boots cut off anywhere, on a disk that forgets what was not synced.

The machine is real functions over a real folder; what stands in for Ignition and the disk is `Machine`: it makes the
files that the configuration gives, one step at a time, and a cut leaves of each write since the last sync whatever the
test chooses - nothing, a name without bytes, half, or all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.files import write_atomic
from orlop.node.config import eachboot, facts, firsts, kept
from orlop.node.config.failure import StageFailed
from orlop.node.config.kept import Deeds
from orlop.node.config.rendering import Rendering

SEED: dict[str, Any] = {"path": "/var/app/seed", "overwrite": False, "contents": {"source": "data:,at first"}}
GROWN: dict[str, Any] = {"path": "/var/app/grown", "append": [{"source": "data:,once"}]}
ADDED: dict[str, Any] = {"path": "/var/log/mine", "append": [{"source": "data:,added"}]}
OWNED = {"path": "/var/app/owned", "contents": {"source": "data:,owned"}}
LINK: dict[str, Any] = {"path": "/var/app/link", "overwrite": False, "target": "seed"}
MINE = b"of the user\n"
CONFIG = Rendering(
    {
        "ignition": {"version": "3.4.0-experimental"},
        "passwd": {"users": [{"name": "worker", "homeDir": "/var/home/worker"}, {"name": "core"}]},
        "storage": {"files": [SEED, GROWN, ADDED, OWNED], "links": [LINK]},
    }
)


class Cut(Exception):
    """The power fails here."""


@dataclass
class Machine:
    """`left` counts the steps until the power fails; `keeps` says how much of what was written stays, in quarters."""

    root: Path
    left: int
    keeps: Callable[[], int]

    def __post_init__(self) -> None:
        self.unsynced: list[tuple[Path, int]] = []

    @property
    def record(self) -> Path:
        return self.root / "var/lib/orlop/config/done.json"

    def step(self) -> None:
        if self.left == 0:
            self.forget()
            raise Cut
        self.left -= 1

    def forget(self) -> None:
        for path, begin in self.unsynced:
            if path.is_file() and not path.is_symlink():
                size = path.stat().st_size
                os.truncate(path, begin + (size - begin) * self.keeps() // 4)
        self.unsynced.clear()

    def remember(self, deeds: Deeds) -> None:
        self.step()
        kept.save_deeds(self.record, deeds)

    def write(self, path: str, data: bytes, *, adds: bool) -> None:
        self.step()
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        begin = place.stat().st_size if adds and place.exists() else 0
        self.unsynced.append((place, begin))
        if place.exists() and not adds:
            place.unlink()
        with place.open("ab") as f:
            f.write(data[: len(data) // 2])
            f.flush()
            self.step()
            f.write(data[len(data) // 2 :])

    def apply(self, config: dict[str, Any]) -> None:
        home = self.root / "var/home/worker"
        if not home.exists():  # as useradd: what is there is left as it is
            self.step()
            home.mkdir(parents=True)
            self.step()
            home.chmod(0o711)
        for file in config["storage"]["files"]:
            source = (file.get("contents") or {}).get("source")
            place = self.root / file["path"].lstrip("/")
            if source is not None:
                self.write(file["path"], source.removeprefix("data:,").encode(), adds=False)
            elif not place.exists():
                self.write(file["path"], b"", adds=False)
            for more in file.get("append") or ():
                self.write(file["path"], more["source"].removeprefix("data:,").encode(), adds=True)
        for link in config["storage"]["links"]:
            self.step()
            place = self.root / link["path"].lstrip("/")
            place.unlink(missing_ok=True)
            place.symlink_to(link["target"])

    def sync(self) -> None:
        firsts.to_disk(self.root, ["/var"])
        self.unsynced.clear()
        self.step()

    def boot(self) -> None:
        """The files stage in the order of `run.Boot._files`."""
        deeds = kept.load_deeds(self.record)
        firsts.undo(self.root, deeds.paths)
        self.step()
        there = facts.kinds(self.root, [*eachboot.owned_paths(CONFIG), *eachboot.homes(CONFIG)])
        files = eachboot.for_files(CONFIG, eachboot.PathsThere(there, deeds.done))
        began = {**deeds.paths, **firsts.before(self.root, files.first)}
        self.remember(replace(deeds, paths=began))
        self.apply(files.config.raw)
        if began:
            self.sync()
        self.remember(Deeds(deeds.done | files.deeds, deeds.begun, {}))


@given(cuts=st.lists(st.integers(0, 30), max_size=4), data=st.data())
def test_after_any_cuts_all_is_there_once_and_the_users_own_stays(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("root")
    write_atomic(root / "var/log/mine", MINE)
    write_atomic(root / "var/other", MINE)

    def keeps() -> int:
        return data.draw(st.integers(0, 4))

    for cut in [*cuts, -1]:
        try:
            Machine(root, cut, keeps).boot()
        except Cut:
            continue
    must_be_right(root)
    assert kept.load_deeds(root / "var/lib/orlop/config/done.json").paths == {}
    (root / "var/app/seed").write_bytes(MINE)
    for cut in [*cuts, -1]:  # later boots make nothing for the first time, so there is nothing to undo
        try:
            Machine(root, cut, keeps).boot()
        except Cut:
            continue
    assert (root / "var/app/seed").read_bytes() == MINE
    (root / "var/app/seed").write_bytes(b"at first")
    must_be_right(root)


def must_be_right(root: Path) -> None:
    expected = {"app/seed": b"at first", "app/grown": b"once", "app/owned": b"owned", "other": MINE}
    assert {name: (root / "var" / name).read_bytes() for name in expected} == expected
    assert (root / "var/log/mine").read_bytes() == MINE + b"added"
    assert os.readlink(root / "var/app/link") == "seed"
    assert (root / "var/home/worker").stat().st_mode & 0o777 == 0o711


def test_what_is_made_once_is_named_before_it_is_made_and_never_again() -> None:
    first = eachboot.for_files(CONFIG, eachboot.PathsThere({ADDED["path"]: "file"}))
    assert set(first.first) == {"/var/home/worker", SEED["path"], GROWN["path"], ADDED["path"], LINK["path"]}
    there = dict.fromkeys(first.first, "file") | {LINK["path"]: "link", "/var/home/worker": "dir"}
    assert eachboot.for_files(CONFIG, eachboot.PathsThere(there, first.deeds)).first == ()


def test_what_cannot_be_undone_is_not_noted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dir").mkdir()
    assert firsts.before(tmp_path, ["/file", "/link", "/dir", "/none", "/file/below"]) == {
        "/file": 3,
        "/none": None,
        "/file/below": None,
    }


def test_undoing_takes_away_what_was_made_and_what_was_added(tmp_path: Path) -> None:
    (tmp_path / "added").write_bytes(b"1234567")
    (tmp_path / "short").write_bytes(b"12")
    (tmp_path / "made").write_bytes(b"")
    (tmp_path / "link").symlink_to("added")
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "home/.ssh/x").touch()
    noted = {"/added": 3, "/short": 3, "/made": None, "/link": 1, "/home": None, "/none": None, "/gone": 3}
    assert [note.split(" ")[0] for note in firsts.undo(tmp_path, noted)] == ["/added", "/made", "/home"]
    assert (tmp_path / "added").read_bytes() == b"123"
    assert (tmp_path / "short").read_bytes() == b"12"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["added", "link", "short"]
    assert firsts.undo(tmp_path, noted) == []


DEVICE: dict[str, Callable[[str], dict[str, Any]]] = {
    "disks": lambda device: {"device": device},
    "luks": lambda device: {"device": device},
    "filesystems": lambda device: {"device": device},
    "raid": lambda device: {"devices": [device]},
}


@pytest.mark.parametrize("kind", DEVICE)
def test_a_disk_that_does_not_take_what_was_written_stops_the_boot(tmp_path: Path, kind: str) -> None:
    (tmp_path / "disk").write_bytes(b"x")
    (tmp_path / "broken").symlink_to("broken")
    for name, error in (("disk", ""), ("missing", ""), ("broken", "broken cannot be opened: Too many levels")):
        config = Rendering({"storage": {kind: [DEVICE[kind](str(tmp_path / name))]}})
        if error:
            with pytest.raises(StageFailed, match=error):
                firsts.flush(config)
        else:
            firsts.flush(config)
