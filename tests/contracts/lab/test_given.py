"""`orlop lab up --config` with Ignition's own JSON: shown to the real `ignition-validate` before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from orlop.cli.machineconfig import read
from orlop.errors import BadInput
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = [pytest.mark.sdk]


def test_ignition_is_given_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "node.ign"
    file.write_text('{"ignition": {"version": "3.3.0"},  "storage": {}}')
    assert read(Workspace.find(), Steps(), str(file), None) == file.read_bytes()


def test_ignition_that_is_wrong_is_refused_with_its_words(tmp_path: Path) -> None:
    file = tmp_path / "node.ign"
    file.write_text('{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "etc/x"}]}}')
    with pytest.raises(BadInput, match="path not absolute") as caught:
        read(Workspace.find(), Steps(), str(file), None)
    assert "orlop config build" in caught.value.hint
