"""The guide to a first real machine, run on a file instead of a disk, as far as there is no firmware in it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.workspace import Workspace
from tests.pages import ROOT, blocks, of

GUIDE = ROOT / "docs/guide/real-machine.md"
MINE = of(Path(__file__), GUIDE)
(CONFIG,) = (block.text for block in MINE if block.kind == "yaml")
SCRIPTS = [block.text for block in MINE if not block.kind]


@pytest.fixture
def here() -> Iterator[Path]:
    """A folder as the guide has it, with `.orlop` and the configuration; not in /tmp, of which the SDK has its own."""
    state = Workspace.find().state
    with tempfile.TemporaryDirectory(prefix="guide-", dir=state) as made:
        (Path(made) / ".orlop").symlink_to(state)
        (Path(made) / "node.bu").write_text(CONFIG)
        yield Path(made)


def run(here: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = f'orlop() {{ "{sys.executable}" -m orlop "$@"; }}\nset -eu\n{script}'
    env = os.environ | {"PYTHONPATH": str(Workspace.find().root)}
    return subprocess.run(
        ["sh", "-c", command], cwd=here, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_configuration_lies_where_the_machine_looks_and_the_disk_is_written(here: Path) -> None:
    config, put, write = SCRIPTS
    for script in (config, put):
        ran = run(here, script)
        assert ran.returncode == 0, ran.stderr
    ran = run(here, "orlop sdk run mtype -i disk.raw@@1M ::/orlop/config.ign")
    assert ran.stdout == (here / "node.ign").read_text()
    # of= is a file here, so that nothing but this folder is written to, and holes stay holes, which takes no time
    dd = write.splitlines()[1].replace("/dev/sdX", "written").replace("oflag=direct conv=fsync", "conv=sparse")
    assert "conv=sparse" in dd
    ran = run(here, dd)
    assert ran.returncode == 0, ran.stderr
    assert subprocess.run(["cmp", here / "disk.raw", here / "written"], check=False).returncode == 0


def test_every_command_of_the_guide_is_one(here: Path) -> None:
    """Those that need a machine, by their help: name, options, and that a machine may be an address."""
    lines = [line for block in blocks(GUIDE) for line in block.text.splitlines() if line.startswith("orlop node")]
    assert len(lines) == 3
    for line in lines:
        words = line.split()
        ran = run(here, f"{' '.join(words[:3])} --help")
        assert ran.returncode == 0 and "[USER@]HOST[:PORT]" in " ".join(ran.stdout.split()), ran.stdout
        assert all(word in ran.stdout for word in words if word.startswith("--"))
