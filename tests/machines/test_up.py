"""`orlop up` and `orlop down` as a person types them, in a state folder of their own beside the shared lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab import lab
from orlop.machines.pids import find
from orlop.machines.tools import PROGRAMS
from orlop.workspace import Workspace

SHARED = ("sdk", "images", "cache", "demo")


@pytest.fixture
def own(ws: Workspace, image: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A state folder that has the SDK and the image already, and no lab."""
    assert image.is_dir()
    for name in SHARED:
        (tmp_path / name).symlink_to(ws.state / name)
    there = Workspace(ws.root, tmp_path)
    yield there
    for name in lab.names(there):
        lab.down(there, name)


def orlop(ws: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orlop", *words],
        env={**os.environ, "ORLOP_STATE": str(ws.state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_up_ends_with_a_container_that_answers_and_can_be_said_again(own: Workspace) -> None:
    first = orlop(own, "up")
    assert first.returncode == 0, first.stderr
    url, _, said = first.stdout.strip().partition("  ")
    assert url.startswith("http://127.0.0.1:")
    assert said.startswith("This page comes from a container on n1, which runs Orlop 2")
    assert "✓ Waiting for 1 verdict" in first.stderr

    again = orlop(own, "up")
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
    assert "runs already" in again.stderr
    assert "verdict" not in again.stderr

    (report,) = json.loads(orlop(own, "lab", "status", "--json").stdout)
    assert (report["name"], report["demo"], report["nodes"][0]["boot"]) == ("default", True, "good")

    down = orlop(own, "down")
    assert (down.returncode, down.stdout) == (0, ""), down.stderr
    assert find(PROGRAMS, [own.labs]) == []
    assert not own.labs.exists()
    nothing = orlop(own, "down")
    assert nothing.returncode == 0
    assert "nothing runs" in nothing.stderr
