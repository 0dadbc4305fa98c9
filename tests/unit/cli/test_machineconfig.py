from __future__ import annotations

from pathlib import Path

import pytest

from orlop.cli.machineconfig import is_ignition, read
from orlop.errors import BadInput, Missing
from orlop.steps import Steps
from orlop.workspace import Workspace

BUTANE = "variant: orlop\nversion: 1.0.0\nstorage: {files: [{path: /etc/motd, contents: {inline: hi}}]}\n"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """A workspace without an SDK: nothing here needs one."""
    return Workspace(tmp_path, tmp_path / "state")


def given(ws: Workspace, text: str, files_dir: Path | None = None) -> bytes:
    file = ws.root / "node.bu"
    file.write_text(text)
    return read(ws, Steps(quiet=True), str(file), files_dir)


def test_butane_is_translated(ws: Workspace) -> None:
    assert b'"source":"data:,hi"' in given(ws, BUTANE)


def test_local_files_are_those_of_the_folder(ws: Workspace) -> None:
    (ws.root / "motd").write_text("from a file")
    text = BUTANE.replace("inline: hi", "local: motd")
    assert b"from%20a%20file" in given(ws, text, ws.root)
    with pytest.raises(BadInput):
        given(ws, text)


def test_what_is_wrong_is_shown_where_it_is(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="is no right configuration") as caught:
        given(ws, BUTANE.replace("/etc/motd", "etc/motd"))
    assert "orlop config check" in caught.value.hint
    said = capsys.readouterr().err
    assert "node.bu:3:26" in said
    assert "^" in said


def test_a_warning_is_shown_and_the_configuration_taken(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert given(ws, BUTANE.replace("orlop", "fcos").replace("1.0.0", "1.4.0") + "sorage: {}\n")
    assert "warning: " in capsys.readouterr().err


def test_a_file_that_is_not_there(ws: Workspace) -> None:
    with pytest.raises(Missing, match="there is no configuration"):
        read(ws, Steps(quiet=True), str(ws.root / "none.bu"), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"ignition": {"version": "3.3.0"}}', True),
        (b'\n {"ignition": 7}', True),
        (b'{"variant": "fcos", "version": "1.4.0", "ignition": {}}', False),
        (b"ignition: {}", False),
        (b"[1]", False),
        (b"{", False),
        (b"\xff", False),
        (b"[" * 100_000, False),
        (b"", False),
    ],
)
def test_json_is_ignition_unless_it_says_that_it_is_butane(text: bytes, expected: bool) -> None:
    assert is_ignition(text) is expected
