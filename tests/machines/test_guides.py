"""README and the guides, typed by somebody who follows them: every block that names this file, on container machines.

A page is followed from its first block to its last in a folder of its own, with a state folder of its own. What a block
shows as a file, by a first line `# NAME`, is written. The test's own are these: machines are containers, five are
three, the image is there and is not built, a console is followed for some seconds, questions are answered with yes; and
where a page takes a running machine for granted there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orlop.lab import lab
from orlop.lab.paths import DEFAULT_LAB
from orlop.workspace import Workspace
from tests.pages import ROOT, Block, blocks, file_of, of

SHARED = ("sdk", "images", "cache", "demo")
PAGES = list(dict.fromkeys(block.page for block in of(Path(__file__))))
MANY_MACHINES = ("lab.md", "README.md")
ORLOP = """#!/bin/sh
case "$1 $2" in
'image build') exit 0 ;;
'lab up')
    case $* in *--saved*) ;; *--kind*) ;; *) set -- "$@" --kind container ;; esac ;;
'lab logs')
    case $* in *' -f'*) timeout 3 "$PYTHON" -m orlop "$@" || [ $? = 124 ]; exit ;; esac ;;
esac
case "$1 $2" in 'node reset') set -- "$@" --yes ;; esac
exec "$PYTHON" -m orlop "$@"
"""
# by page: what was done before its first block of commands, beside a lab
BEFORE = {"config-sources.md": "cp node.bu other.bu"}
NEED_A_LAB = ("lab exec", "lab logs", "lab status", "lab push", "lab power-cut", "lab reconfigure", "node ")


@dataclass
class Reader:
    """`is_granted`: there is a machine that the page takes for granted, and did not start."""

    ws: Workspace
    here: Path
    is_granted: bool = False

    def follow(self, page: Path) -> None:
        mine = of(Path(__file__), page)
        for block in blocks(page):
            if name := file_of(block):
                (self.here / name).write_text(block.text)
            if block in mine and block.kind != "yaml":
                if "orlop lab up" in block.text and self.is_granted:
                    lab.down(self.ws, DEFAULT_LAB)
                    self.is_granted = False
                if not lab.names(self.ws) and _begins_on_a_machine(block):
                    self.type("orlop lab up --demo")
                    self.is_granted = True
                self.type(block.text.replace("--nodes 5", "--nodes 3"), block.name)

    def type(self, script: str, name: str = "") -> str:
        env = {**os.environ, "PATH": f"{self.here / '.orlop/venv/bin'}:{os.environ['PATH']}", "PYTHON": sys.executable,
               "ORLOP_STATE": str(self.ws.state), "PYTHONPATH": str(ROOT), "HOME": str(self.here)}  # fmt: skip
        done = subprocess.run(
            ["sh", "-euc", script], cwd=self.here, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}\n{script}\n{done.stdout}{done.stderr}"
        return done.stdout


def _begins_on_a_machine(block: Block) -> bool:
    first = block.text.partition("lab up")[0]
    return any(words in first for words in NEED_A_LAB)


@pytest.fixture
def reader(ws: Workspace, image: Path, tmp_path: Path) -> Iterator[Reader]:
    state, here = tmp_path / "state", tmp_path / "here"
    state.mkdir()
    for name in SHARED:
        (state / name).symlink_to(ws.state / name)
    (state / "images").unlink()
    (state / "images").mkdir()
    (state / "images" / image.name).symlink_to(image)
    (state / "images/latest").symlink_to(image.name)
    program = here / ".orlop/venv/bin/orlop"
    program.parent.mkdir(parents=True)
    program.write_text(ORLOP)
    program.chmod(0o755)
    shutil.copy(ROOT / "tests/machines/configs/guide.bu", here / "node.bu")
    there = Reader(Workspace(ROOT, state), here)
    try:
        yield there
    finally:
        for name in lab.names(there.ws):
            lab.down(there.ws, name)


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.long] if p.name in MANY_MACHINES else []) for p in PAGES],
    ids=lambda page: page.stem,
)
def test_it_does_what_it_says(reader: Reader, page: Path) -> None:
    if page.name in BEFORE:
        reader.type(BEFORE[page.name])
    reader.follow(page)
