"""The command line that puts a program into the SDK."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orlop.sdk.run import in_sdk
from orlop.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    for folder in ("repo", "state/sdk/usr", "state/sdk/etc", "more"):
        (tmp_path / folder).mkdir(parents=True)
    return Workspace(tmp_path / "repo", tmp_path / "state")


def options(argv: list[str], name: str) -> list[tuple[str, ...]]:
    arity = 1 if name in ("--tmpfs", "--dir", "--chdir", "--proc") else 2
    return [tuple(argv[i + 1 : i + 1 + arity]) for i, arg in enumerate(argv) if arg == name]


def test_the_program_comes_last_and_untouched(ws: Workspace) -> None:
    assert in_sdk(ws, ["mkosi", "--version", Path("/x")])[-4:] == ["--", "mkosi", "--version", "/x"]


def test_the_sdk_is_read_only_and_the_workspace_is_not(ws: Workspace, tmp_path: Path) -> None:
    more = tmp_path / "more"
    argv = in_sdk(ws, ["true"], binds=[more, ws.state])
    assert (str(ws.sdk / "usr"), "/usr") in options(argv, "--ro-bind")
    assert (str(ws.sdk / "etc"), "/etc") in options(argv, "--ro-bind")
    written = [(str(p), str(p)) for p in (ws.root, ws.state, more)]
    assert options(argv, "--bind") == [("/tmp", "/tmp"), *written]


def test_only_files_the_sdk_has_too_are_taken_from_the_host(ws: Workspace) -> None:
    assert not any(target == "/etc/passwd" for _, target in options(in_sdk(ws, ["true"]), "--ro-bind"))
    (ws.sdk / "etc" / "passwd").touch()
    assert (os.path.realpath("/etc/passwd"), "/etc/passwd") in options(in_sdk(ws, ["true"]), "--ro-bind")


def test_environment(ws: Workspace) -> None:
    given = options(in_sdk(ws, ["true"], env={"A": "b", "LC_ALL": "C"}), "--setenv")
    assert given == [("PATH", "/usr/sbin:/usr/bin"), ("TMPDIR", "/tmp"), ("LC_ALL", "C"), ("A", "b")]


def test_it_ends_with_its_parent_unless_told_otherwise(ws: Workspace) -> None:
    assert "--die-with-parent" in in_sdk(ws, ["true"])
    assert "--die-with-parent" not in in_sdk(ws, ["true"], die_with_parent=False)


def test_it_starts_where_the_caller_is_if_that_is_in_the_repository(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert options(in_sdk(ws, ["true"]), "--chdir") == [(str(ws.root),)]
    (ws.root / "os").mkdir()
    monkeypatch.chdir(ws.root / "os")
    assert options(in_sdk(ws, ["true"]), "--chdir") == [(str(ws.root / "os"),)]
