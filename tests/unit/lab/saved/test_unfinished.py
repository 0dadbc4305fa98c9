from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.lab.paths import LabPaths
from orlop.lab.saved import unfinished
from orlop.workspace import Workspace


@pytest.fixture
def paths(tmp_path: Path) -> LabPaths:
    found = LabPaths(Workspace(tmp_path, tmp_path), "a")
    found.folder.mkdir(parents=True)
    return found


def test_what_goes_on_is_not_left(paths: LabPaths) -> None:
    assert unfinished.left(paths) is None
    unfinished.mark(paths.folder, unfinished.SAVING)
    assert unfinished.left(paths) is None
    unfinished.unmark(paths.folder)
    assert list(paths.folder.iterdir()) == []


def test_what_a_process_began_that_was_killed_is_left(paths: LabPaths) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from orlop.lab.saved import unfinished as u; "
        "u.mark(Path(sys.argv[1]), u.SAVING, ('n2',)); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, paths.folder], check=False)
    found = unfinished.left(paths)
    assert found is not None
    assert (found.doing, found.off) == (unfinished.SAVING, ("n2",))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", json.dumps({"doing": "saving"}), json.dumps({"process": 3})])
def test_garbage_is_nothing(paths: LabPaths, text: str) -> None:
    (paths.folder / "unfinished.json").write_text(text)
    assert unfinished.left(paths) is None
