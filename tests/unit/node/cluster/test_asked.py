"""The host's side of what orlop-cluster asks for: the real script, with a systemctl that says what it was told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[4] / "os/mkosi.extra/usr/lib/orlop/etcd-asked"
SYSTEMCTL = """#!/bin/sh
case $1 in
    is-active) cat "$UNIT_STATE" ;;
    *) echo "$*" >> "$CALLS" ;;
esac
"""


def asked(tmp_path: Path, word: str, state: str = "inactive") -> tuple[int, str]:
    """What the script returned, and what systemctl was told."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    (tmp_path / "state").write_text(state + "\n")
    (tmp_path / "calls").touch()
    (tmp_path / "etcd.asked").write_text(word)
    (tmp_path / "etcd/member/wal").mkdir(parents=True)
    env = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "ORLOP_ASKED": f"{tmp_path}/etcd.asked",
        "ORLOP_ETCD_STATE": f"{tmp_path}/etcd",
        "UNIT_STATE": f"{tmp_path}/state",
        "CALLS": f"{tmp_path}/calls",
    }
    ran = subprocess.run(["sh", SCRIPT], env=env, check=False, capture_output=True, text=True)
    assert not (tmp_path / "etcd.asked").exists(), "else the path unit would start it for ever"
    return ran.returncode, (tmp_path / "calls").read_text()


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_start_starts_what_does_not_run(tmp_path: Path, state: str) -> None:
    assert asked(tmp_path, "start\n", state) == (0, "--no-block start orlop-etcd.service\n")
    assert (tmp_path / "etcd/member").exists()


@pytest.mark.parametrize("state", ["active", "activating", "deactivating"])
def test_start_leaves_what_runs_or_is_about_to(tmp_path: Path, state: str) -> None:
    assert asked(tmp_path, "start\n", state) == (0, "")


def test_anew_stops_it_before_its_data_go(tmp_path: Path) -> None:
    assert asked(tmp_path, "anew\n", "active") == (0, "stop orlop-etcd.service\n")
    assert (tmp_path / "etcd").exists()
    assert not (tmp_path / "etcd/member").exists()


def test_anew_removes_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").touch()
    (tmp_path / "etcd").mkdir()
    (tmp_path / "etcd/member").symlink_to("../precious")
    (tmp_path / "precious/wal").mkdir()
    code, _ = asked_with_link(tmp_path)
    assert code == 0
    assert (tmp_path / "precious/file").exists()
    assert not (tmp_path / "etcd/member").is_symlink()


def asked_with_link(tmp_path: Path) -> tuple[int, str]:
    env = {"PATH": "/usr/bin:/bin", "ORLOP_ASKED": f"{tmp_path}/a", "ORLOP_ETCD_STATE": f"{tmp_path}/etcd"}
    (tmp_path / "a").write_text("anew\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text("#!/bin/sh\n")
    (tmp_path / "bin/systemctl").chmod(0o755)
    env["PATH"] = f"{tmp_path}/bin:{env['PATH']}"
    ran = subprocess.run(["sh", SCRIPT], env=env, check=False, capture_output=True, text=True)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize("word", ["", "\n", "stop\n", "../x\n", "start anew\n"])
def test_any_other_word_does_nothing(tmp_path: Path, word: str) -> None:
    code, told = asked(tmp_path, word)
    assert (code, told) == (1, "")
    assert (tmp_path / "etcd/member").exists()
