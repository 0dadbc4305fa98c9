from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orlop.cli.app import app
from orlop.cluster import folder as folders


def orlop(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["cluster", *words])
    return done.exit_code, done.output


def test_new_writes_a_folder_and_says_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = orlop("new", "demo", "--at", "10.0.0.1", "--at", "n2", "--replace-after", "10m")
    assert code == 0, said
    for file in (tmp_path / "demo").glob("*.bu"):
        assert file.name in said
    assert "10.0.0.1, n2" in said
    assert folders.read(tmp_path / "demo").replace_after == "10m"
    assert "replace_after: 10m" in (tmp_path / "demo/server.bu").read_text()
    assert "replace_after" not in (tmp_path / "demo/worker.bu").read_text()


def test_one_server_needs_no_file_for_others(tmp_path: Path) -> None:
    code, said = orlop("new", "demo", "--servers", "1", "-o", str(tmp_path / "x"))
    assert code == 0, said
    assert "server.bu        for the other" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "Demo"), "not a valid name of a cluster"),
        (("new", "demo", "--servers", "4"), "must be 1, 3 or 5"),
        (("new", "demo", "--at", "https://a"), "must be the address or the name of a host"),
        (("new", "demo", "--replace-after", "1s"), "--replace-after must be"),
        (("token", "demo"), "not the folder of a cluster"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = orlop(*words)
    assert code == 1
    assert said in output
    assert not list(tmp_path.iterdir())


def test_token_is_a_new_one_each_time(tmp_path: Path) -> None:
    orlop("new", "demo", "-o", str(tmp_path / "demo"))
    before = (tmp_path / "demo/worker.bu").read_text()
    code, said = orlop("token", "demo", "-o", str(tmp_path / "demo"), "--hours", "2")
    assert code == 0, said
    after = (tmp_path / "demo/worker.bu").read_text()
    assert before != after
    assert (tmp_path / "demo/worker.bu").stat().st_mode & 0o077 == 0
