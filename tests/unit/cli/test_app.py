"""The command as a person meets it: the real program, its exit status and its two streams."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orlop.cli.app import COMMANDS, Root, app
from orlop.errors import CommandFailed, Missing
from orlop.files import locked
from orlop.workspace import Workspace

REPOSITORY = Path(__file__).parents[3]
CAN_ISOLATE = os.geteuid() == 0 or subprocess.run(["unshare", "--user", "true"], check=False).returncode == 0


def orlop(*args: str, state: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ORLOP_STATE": str(state), "TERM": "dumb", "COLUMNS": "120"}
    if path is not None:
        env["PATH"] = path
    return subprocess.run(
        [sys.executable, "-m", "orlop", *args], env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def test_help_lists_every_command(tmp_path: Path) -> None:
    done = orlop("--help", state=tmp_path)
    assert done.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in done.stdout


def test_without_a_command_it_shows_help_and_fails(tmp_path: Path) -> None:
    done = orlop(state=tmp_path)
    assert done.returncode == 2
    assert "Usage:" in done.stdout + done.stderr


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_and_is_found_where_the_table_says(name: str) -> None:
    module, attribute = COMMANDS[name]
    assert hasattr(importlib.import_module(module), attribute)
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0, done.output


def test_version(tmp_path: Path) -> None:
    done = orlop("--version", state=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (0, "orlop")


@pytest.mark.parametrize("args", [["no-such-command"], ["--no-such-option"], ["sdk", "no-such"], ["sdk", "make", "x"]])
def test_a_wrong_call_is_exit_status_2(args: list[str], tmp_path: Path) -> None:
    done = orlop(*args, state=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_sdk_status_as_json(tmp_path: Path) -> None:
    done = orlop("sdk", "status", "--json", state=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout) | {"key": ""} == {"path": str(tmp_path / "sdk"), "state": "missing", "key": ""}


def test_an_error_is_two_lines_and_exit_status_1(tmp_path: Path) -> None:
    done = orlop("sdk", "make", state=tmp_path, path="/nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "error: mmdebstrap is not installed on this machine",
        "hint: `make setup` installs it, or: apt-get install mmdebstrap",
    ]


def test_a_busy_sdk_says_so(tmp_path: Path) -> None:
    with locked(tmp_path / "sdk.lock", "the SDK"):
        done = orlop("sdk", "make", state=tmp_path)
    assert done.returncode == 1
    assert "error: the SDK is in use by another orlop process" in done.stderr


def root_with(body: Callable[[], None]) -> typer.Typer:
    """A command as ours, whose one sub-command `it` does what is given."""
    root = typer.Typer(cls=Root, pretty_exceptions_enable=False)
    root.command("it")(body)
    root.callback()(lambda: None)
    return root


def invoke(body: Callable[[], None]) -> tuple[int, str]:
    done = CliRunner().invoke(root_with(body), ["it"])
    return done.exit_code, done.stderr


def test_a_failed_command_shows_the_end_of_its_output() -> None:
    def body() -> None:
        raise CommandFailed("making it failed", code=3, tail="line 1\nline 2", hint="try again")

    assert invoke(body) == (1, "line 1\nline 2\nerror: making it failed\nhint: try again\n")


def test_no_hint_no_line() -> None:
    def body() -> None:
        raise Missing("it is not there")

    assert invoke(body) == (1, "error: it is not there\n")


def test_a_full_disk_is_no_defect() -> None:
    def body() -> None:
        with Path("/dev/full").open("w") as f:
            f.write("x")

    code, err = invoke(body)
    assert code == 1
    assert err.startswith("error: no space left")
    assert "ORLOP_STATE" in err


def test_a_defect_keeps_its_traceback() -> None:
    def body() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(root_with(body), ["it"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.skipif(not CAN_ISOLATE, reason="this machine lets this user make no namespaces")
def test_a_signal_in_a_long_step_ends_cleanly(tmp_path: Path, sig: signal.Signals, code: int) -> None:
    """A program named mmdebstrap that never ends stands in for the long step; everything else is real."""
    fakes = tmp_path / "bin"
    fakes.mkdir()
    fake = fakes / "mmdebstrap"
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nexec sleep 300\n")
    fake.chmod(0o755)
    state = tmp_path / "state"
    child = subprocess.Popen(
        [sys.executable, "-m", "orlop", "sdk", "make"],
        env={**os.environ, "ORLOP_STATE": str(state), "PATH": f"{fakes}:{os.environ['PATH']}"},
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 20
    while not (tmp_path / "started").exists() and time.monotonic() < end and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(sig)
    _, err = child.communicate(timeout=20)
    assert child.returncode == code, err
    assert "Traceback" not in err
    if sig == signal.SIGINT:
        assert "interrupted; nothing half-made was left" in err
    assert not list(state.glob(".making-*"))
    assert not (state / "sdk").exists()


def test_outside_a_repository_it_says_where_to_go(tmp_path: Path) -> None:
    copy = tmp_path / "orlop"
    copy.mkdir()
    for name in ("__init__.py", "errors.py", "workspace.py"):
        (copy / name).write_bytes((REPOSITORY / "orlop" / name).read_bytes())
    script = "from orlop.workspace import Workspace; Workspace.find()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert f"Missing: {tmp_path} holds no os/mkosi.conf" in done.stderr


def test_workspace_state_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORLOP_STATE", str(tmp_path / "elsewhere"))
    assert Workspace.find().state == tmp_path / "elsewhere"
    monkeypatch.delenv("ORLOP_STATE")
    assert Workspace.find().state == REPOSITORY / ".orlop"
