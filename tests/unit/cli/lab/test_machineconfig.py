from __future__ import annotations

from pathlib import Path

import pytest

from orlop.cli.lab.machineconfig import read
from orlop.errors import BadInput, Missing
from orlop.provision.translate import is_ignition

BUTANE = "variant: orlop\nversion: 1.0.0\nstorage: {files: [{path: /etc/motd, contents: {inline: hi}}]}\n"


def given(folder: Path, text: str, files_dir: Path | None = None) -> bytes:
    file = folder / "node.bu"
    file.write_text(text)
    return read(str(file), files_dir)


def test_butane_is_translated(tmp_path: Path) -> None:
    assert b'"source":"data:,hi"' in given(tmp_path, BUTANE)


def test_local_files_are_those_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("from a file")
    text = BUTANE.replace("inline: hi", "local: motd")
    assert b"from%20a%20file" in given(tmp_path, text, tmp_path)
    with pytest.raises(BadInput):
        given(tmp_path, text)


def test_what_is_wrong_is_shown_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="is not a valid configuration") as caught:
        given(tmp_path, BUTANE.replace("/etc/motd", "etc/motd"))
    assert "orlop config check" in caught.value.hint
    said = capsys.readouterr().err
    assert "node.bu:3:26" in said
    assert "^" in said


def test_a_warning_is_shown_and_the_configuration_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert given(tmp_path, BUTANE.replace("orlop", "fcos").replace("1.0.0", "1.4.0") + "sorage: {}\n")
    assert "warning: " in capsys.readouterr().err


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="there is no configuration"):
        read(str(tmp_path / "none.bu"), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"ignition": {"version": "3.3.0"}}', True),
        ('\n {"ignition": 7}', True),
        ('{"variant": "fcos", "version": "1.4.0", "ignition": {}}', False),
        ('{"ignition": {"version": "3.3.0"}, }', True),
        ('{"variant": "fcos", "ignition": {}, }', False),
        ("ignition: {}", False),
        ("[1]", False),
        ("{", False),
        ('{"ignition": ' + "[" * 100_000, True),
        ("", False),
    ],
)
def test_json_is_ignition_unless_it_says_that_it_is_butane(text: str, expected: bool) -> None:
    assert is_ignition(text) is expected


def test_ignition_of_any_version_becomes_what_machines_read(tmp_path: Path) -> None:
    made = given(tmp_path, '{"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "/etc/a"}]}}')
    assert made == b'{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/a"}]}}'
    with pytest.raises(BadInput):
        given(tmp_path, '{"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "a"}]}}')
