"""What the guides say of a whole machine that runs, typed on the shared one: every block that names this file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.lab.machine import Node
from orlop.workspace import Workspace
from tests.machines.machines import LAB
from tests.pages import ROOT, Block, of

# the lab of the tests has a name, and the guides' has not
ORLOP = f"""orlop() {{
    case "$1 $2" in lab*|node*) group=$1 verb=$2; shift 2; set -- "$group" "$verb" --name {LAB} "$@" ;; esac
    "$PYTHON" -m orlop "$@"
}}
"""


@pytest.mark.parametrize("block", of(Path(__file__)), ids=lambda block: block.name)
def test_it_does_what_it_says(ws: Workspace, n1: Node, block: Block) -> None:
    assert n1.running
    env = {**os.environ, "PYTHON": sys.executable, "ORLOP_STATE": str(ws.state), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-euc", ORLOP + block.text], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
