"""Which lab a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.cli.lab.name import named, to_remove
from orlop.errors import Missing
from orlop.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path)


def make(ws: Workspace, *names: str) -> None:
    for name in names:
        (ws.labs / name).mkdir(parents=True)


def test_commands_mean_the_only_lab_or_the_default(ws: Workspace) -> None:
    assert named(ws, None) == "default"
    make(ws, "other")
    assert (named(ws, None), named(ws, "third")) == ("other", "third")
    make(ws, "more")
    assert named(ws, None) == "default"


def test_down_takes_no_lab_that_was_not_named(ws: Workspace) -> None:
    assert to_remove(ws, None, every=False) == ["default"]
    make(ws, "other")
    with pytest.raises(Missing, match="no other goes without being named") as caught:
        to_remove(ws, None, every=False)
    assert "there are: other" in caught.value.hint
    make(ws, "default")
    assert to_remove(ws, None, every=False) == ["default"]
    assert to_remove(ws, "other", every=False) == ["other"]
    assert to_remove(ws, None, every=True) == ["default", "other"]
