"""`orlop config` as a person meets it: exit status, the two streams, files that are whole or untouched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
GOOD = "variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: /etc/motd, contents: {inline: hi}}]}\n"
WARNING = "variant: fcos\nversion: 1.4.0\nsorage: {}\n"
BAD = "variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: etc}]}\n"
IGNITION = (
    '{"ignition":{"version":"3.3.0"},"storage":{"files":[{"path":"/etc/motd",'
    '"contents":{"compression":"","source":"data:,hi"}}]}}\n'
)


def config(*args: str | Path, given: bytes = b"", **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "orlop", "config", *map(str, args)]
    done = subprocess.run(
        argv, input=given, env={**os.environ, **env}, cwd=REPOSITORY, capture_output=True, check=False, timeout=60
    )
    return subprocess.CompletedProcess(argv, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "node.bu"
    path.write_text(GOOD)
    return path


def test_build(good: Path) -> None:
    done = config("build", good)
    assert (done.returncode, done.stdout, done.stderr) == (0, IGNITION, "")


def test_build_reads_standard_input() -> None:
    assert config("build", "-", given=GOOD.encode()).stdout == IGNITION


def test_pretty(good: Path) -> None:
    done = config("build", "--pretty", good)
    assert done.stdout.startswith('{\n  "ignition": {\n    "version": "3.3.0"\n')
    assert json.loads(done.stdout) == json.loads(IGNITION)


def test_check_writes_nothing(good: Path, tmp_path: Path) -> None:
    done = config("build", "-c", good, "-o", tmp_path / "x")
    assert (done.returncode, done.stdout, (tmp_path / "x").exists()) == (0, "", False)
    assert config("build", "--check", "-", given=BAD.encode()).returncode == 1


def test_output_file(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "node.ign"
    done = config("build", good, "-o", out)
    assert (done.returncode, done.stdout, out.read_text()) == (0, "", IGNITION)
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_bad_config_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "node.ign"
    out.write_text("old")
    done = config("build", "-", "-o", out, given=BAD.encode())
    assert (done.returncode, done.stdout, out.read_text()) == (1, "", "old")
    assert "  --> <stdin>:3:26 ($.storage.files.0.path)\n" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["node.ign"]


def test_strict(tmp_path: Path) -> None:
    done = config("build", "-", given=WARNING.encode())
    assert (done.returncode, done.stdout) == (0, '{"ignition":{"version":"3.3.0"}}\n')
    assert done.stderr.startswith("warning: unknown key 'sorage'")
    done = config("build", "-s", "-", "-o", tmp_path / "x", given=WARNING.encode())
    assert (done.returncode, (tmp_path / "x").exists()) == (1, False)


def test_files_dir(tmp_path: Path) -> None:
    (tmp_path / "motd").write_text("local")
    text = b"variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: /a, contents: {local: motd}}]}\n"
    assert "data:,local" in config("build", "-", "-d", tmp_path, given=text).stdout
    done = config("build", "-", given=text)
    assert (done.returncode, "hint: name it: `-d DIR` or `--files-dir DIR`" in done.stderr) == (1, True)


def test_output_is_utf8_in_every_locale() -> None:
    text = "variant: fcos\nversion: 1.4.0\nstorage: {files: [{path: /ü}]}\n".encode()
    done = config("build", "-", given=text, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert '"path":"/ü"' in done.stdout


def test_check(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.bu"
    bad.write_text(BAD)
    done = config("check", good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{good}: good\n")
    done = config("check", good, bad)
    assert done.returncode == 1
    assert done.stderr.endswith(f"{bad}: refused (1 error)\n")


def test_check_strict() -> None:
    assert config("check", "-", given=WARNING.encode()).returncode == 0
    assert config("check", "--strict", "-", given=WARNING.encode()).returncode == 1


def test_check_json(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.bu"
    bad.write_text(BAD)
    done = config("check", "--json", good, bad)
    assert (done.returncode, done.stderr) == (1, "")
    first, second = json.loads(done.stdout)["files"]
    assert first == {"file": str(good), "ok": True, "errors": 0, "warnings": 0, "entries": []}
    assert (second["ok"], second["errors"]) == (False, 1)
    entry = second["entries"][0]
    assert (entry["severity"], entry["line"], entry["column"], entry["end_column"]) == ("error", 3, 26, 29)
    assert entry["path"] == "$.storage.files.0.path"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("build", "/nowhere/x.bu"), "error: there is no configuration /nowhere/x.bu\n"),
        (("build", "/"), "error: / cannot be read: Is a directory\n"),
        (("build", "-", "-o", "/dev/null"), "error: /dev/null is not a regular file\n"),
        (("build", "-", "-o", "/proc/x/y"), "error: /proc/x/y cannot be written: "),
        (("build", "-", "-d", "/nowhere"), "error: the files directory /nowhere is not a folder\n"),
        (("check", "/nowhere/x.bu"), "error: there is no configuration /nowhere/x.bu\n"),
    ],
)
def test_files_that_are_not_there(args: tuple[str, ...], message: str) -> None:
    done = config(*args, given=GOOD.encode())
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_usage() -> None:
    assert config("build").returncode == 2
    assert config("build", "-", "--nonsense").returncode == 2
    assert config("check").returncode == 2


def test_help_names_every_option() -> None:
    out = config("build", "--help", COLUMNS="100", TERM="dumb").stdout
    for option in ("--output", "--pretty", "--strict", "--files-dir"):
        assert option in out


@pytest.mark.parametrize("link", [False, True])
def test_the_configuration_is_not_written_over(tmp_path: Path, link: bool) -> None:
    source = tmp_path / "it.bu"
    source.write_text(GOOD)
    out = tmp_path / "link" if link else source
    if link:
        out.symlink_to(source)
    done = config("build", source, "-o", out)
    assert done.returncode == 1
    assert "is the configuration itself" in done.stderr
    assert source.read_text() == GOOD
