"""`orlop config simulate` as a person calls it: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.image.build import build
from orlop.simulate.run import prepare
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = pytest.mark.sdk

RIGHT = "variant: orlop\nversion: 1.0.0\nhostname: node1\n"
DOUBTFUL = RIGHT + "systemd: {units: [{name: nowhere.service, enabled: true}]}\n"
FAILS = RIGHT + "passwd:\n  users:\n    - {name: a, groups: [nope]}\n"


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    ws, steps = Workspace.find(), Steps()
    build(ws, steps)
    prepare(ws, steps, None)


def orlop(*args: str | Path, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "orlop", "config", "simulate", *map(str, args)]
    env = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(Workspace.find().root)}
    return subprocess.run(argv, input=stdin, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    (tmp_path / "right.bu").write_text(RIGHT)
    (tmp_path / "other.bu").write_text(RIGHT.replace("node1", "node2"))
    (tmp_path / "doubtful.bu").write_text(DOUBTFUL)
    (tmp_path / "fails.bu").write_text(FAILS)
    (tmp_path / "wrong.bu").write_text(RIGHT + "storage: {files: [{path: x}]}\n")
    (tmp_path / "good.ign").write_text('{"ignition": {"version": "3.2.0"}, "storage": {"files": [{"path": "/etc/x"}]}}')
    (tmp_path / "bad.ign").write_text('{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "x"}]}}')
    (tmp_path / "bytes.ign").write_bytes(b"\xff\xfe")
    (tmp_path / "deep.ign").write_text("[" * 100_000)
    return tmp_path


def test_a_machine(configs: Path) -> None:
    done = orlop(configs / "right.bu")
    assert (done.returncode, done.stderr) == (0, "")
    assert "hostname" in done.stdout
    assert orlop("-", stdin=RIGHT).stdout.replace("<stdin>", str(configs / "right.bu")) == done.stdout


def test_the_guide(tmp_path: Path) -> None:
    """What the guide shows is what is printed, whatever the image's version."""
    guide = (Workspace.find().root / "docs/guide/config.md").read_text()
    text = re.findall(r"^```yaml\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "node.bu").write_text(text)
    (tmp_path / "wrong.bu").write_text(text.replace("systemd-journal", "web"))
    done = orlop("node.bu", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.sub(r"[0-9]{8}\.[0-9]+\n", "VERSION\n", guide)
    assert re.sub(r"[0-9]{8}\.[0-9]+\n", "VERSION\n", done.stdout) in shown
    assert orlop("wrong.bu", cwd=tmp_path).stderr in shown


def test_ignition(configs: Path) -> None:
    done = orlop(configs / "good.ign", "--json")
    assert done.returncode == 0
    assert [entry["path"] for entry in json.loads(done.stdout)["entries"]] == ["/etc/x"]


def test_against(configs: Path) -> None:
    done = orlop(configs / "other.bu", "--against", configs / "right.bu")
    assert done.returncode == 0
    assert "-node1\n+node2\n" in done.stdout
    found = json.loads(orlop(configs / "other.bu", "--against", configs / "right.bu", "--json").stdout)
    assert "-node1" in found["entries"][0]["diff"]


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("fails.bu", "fails.bu:6:7 ($.passwd.users.0)", "group 'nope' does not exist"),
        ("wrong.bu", "wrong.bu:4:26 ($.storage.files.0.path)", "path is not absolute"),
        ("bad.ign", "bad.ign:1:67 ($.storage.files.0.path)", "path is not absolute"),
        ("deep.ign", "deep.ign:1:", "has more than 64 levels"),
    ],
)
def test_what_is_wrong(configs: Path, name: str, place: str, message: str) -> None:
    done = orlop(configs / name)
    assert (done.returncode, done.stdout) == (1, "")
    assert place in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    (file,) = json.loads(orlop(configs / name, "--json").stdout)["files"]
    assert not file["ok"]
    assert message in file["entries"][0]["message"]


def test_doubts_are_warnings(configs: Path) -> None:
    done = orlop(configs / "doubtful.bu")
    assert done.returncode == 0
    assert "warning: there is no unit nowhere.service to enable" in done.stderr
    assert orlop(configs / "doubtful.bu", "--strict").returncode == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.bu"], "there is no configuration none.bu"),
        (["bytes.ign"], "is not UTF-8"),
        (["right.bu", "--image", "20000101.1"], "there is no image 20000101.1"),
        (["right.bu", "-d", "none"], "is not a folder"),
    ],
)
def test_what_is_not_there(configs: Path, args: list[str], message: str) -> None:
    done = orlop(*[str(configs / a) if (configs / a).exists() else a for a in args])
    assert done.returncode == 1
    assert message in done.stderr
    assert "hint: " in done.stderr


def test_a_wrong_command_line() -> None:
    assert orlop().returncode == 2
    assert orlop("-", "--against", "-").returncode == 2


def test_the_log(configs: Path) -> None:
    assert "Ignition finished successfully" in orlop(configs / "right.bu", "--log").stderr
