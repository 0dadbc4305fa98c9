from __future__ import annotations

from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.lab.paths import LabPaths
from orlop.workspace import Workspace

LONGEST_SOCKET = 107


@pytest.mark.parametrize("name", ["a", "default", "a-1", "a" * 31])
def test_sockets_fit_however_deep_the_clone_is(tmp_path: Path, name: str) -> None:
    paths = LabPaths(Workspace(tmp_path, tmp_path / ("deep/" * 50)), name)
    for path in (paths.node("n32").qmp, paths.node("n32").console, paths.switch / ".00001-00000000"):
        assert len(str(path)) <= LONGEST_SOCKET


@pytest.mark.parametrize("name", ["", "A", "1a", "a/b", "..", ".gone-a-1", "a-", "-a", "a" * 32, "ä", "a b", "a\n"])
def test_what_is_no_name_for_a_lab_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is not a valid name of a lab"):
        LabPaths(Workspace(tmp_path, tmp_path), name)


@pytest.mark.parametrize("name", ["", "n0", "n", "n100", "../n1", "m1", "n1 "])
def test_what_is_no_name_of_a_node_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is not a valid name of a node"):
        LabPaths(Workspace(tmp_path, tmp_path), "a").node(name)


def test_labs_of_two_clones_do_not_share_sockets(tmp_path: Path) -> None:
    here, there = (LabPaths(Workspace(tmp_path, tmp_path / d), "a") for d in "xy")
    assert here.run != there.run
