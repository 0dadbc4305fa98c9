"""`orlop lab push` on a machine: a changed line in effect, in place of the one before, and nothing left of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.lab.affected import UNITS, USR
from orlop.lab.lab import Lab
from orlop.lab.layer import Tree
from orlop.lab.machine import Node
from orlop.lab.push import SCRIPT, Push, Pushed
from orlop.lab.report import describe
from orlop.workspace import Workspace
from tests.machines.spare import spare

OVERLAYS = "findmnt -n -t overlay -o TARGET"
ENGINE = "orlop/node/update/__main__.py"
FUTURE = "from __future__ import annotations\n"


@pytest.fixture(scope="module")
def node(ws: Workspace, image: Path) -> Iterator[Node]:
    with spare(ws, image, "vmpush") as there:
        yield there


@pytest.fixture
def tree(ws: Workspace, tmp_path: Path) -> Path:
    """A working tree to change."""
    for name in ("os", "orlop"):
        shutil.copytree(ws.root / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def push(node: Node, tree: Path) -> Pushed:
    return Push(node.paths.ws, Tree(tree)).to(node)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def modified(node: Node) -> int:
    (report,) = describe(Lab(node.paths)).nodes
    assert report.boot == "good"
    return report.modified


def test_a_changed_line_is_tried_replaced_and_taken_back(node: Node, tree: Path) -> None:
    assert push(node, tree).is_well  # what an image of other sources than these lacks
    at_first = modified(node)
    started = node.sh("systemctl show -P ExecMainStartTimestampMonotonic orlop-update.service")
    assert push(node, tree).changed == ()

    command, extra = tree / "orlop/node/__main__.py", tree / USR / "lib/orlop/extra"
    edit(command, "usage: orlop VERB", "usage (pushed): orlop VERB")
    extra.write_text("one\n")
    first = push(node, tree)
    assert (set(first.changed), first.restarted) == ({"orlop/node/__main__.py", USR + "lib/orlop/extra"}, ())
    assert "usage (pushed)" in node.sh("orlop --help")
    assert modified(node) == at_first + 2
    assert node.sh("systemctl show -P ExecMainStartTimestampMonotonic orlop-update.service") == started

    extra.unlink()
    edit(tree / UNITS / "orlop-update.service", "Description=Update engine", "Description=Pushed engine")
    edit(tree / ENGINE, FUTURE, FUTURE + "\nprint('pushed', flush=True)\n")
    second = push(node, tree)
    assert second.restarted == ("orlop-update.service",)
    assert second.is_well
    assert node.sh("systemctl show -P Description orlop-update.service") == "Pushed engine\n"
    assert "pushed" in node.sh("journalctl -b -u orlop-update.service -o cat").split("\n")
    assert node.run("test", "-e", "/usr/lib/orlop/extra").code == 1
    assert sorted(node.sh(OVERLAYS).split()) == ["/usr/lib/orlop", "/usr/lib/systemd"]
    assert node.sh("findmnt -n -o FSTYPE /usr") == "erofs\n"


def test_a_push_that_fails_changes_nothing(node: Node) -> None:
    def state() -> str:
        return node.sh(f"ls /run/orlop/pushed; readlink /run/orlop/pushed/current; {OVERLAYS}; orlop --help")

    before, build_id = state(), node.sh(". /usr/lib/os-release; echo $BUILD_ID").strip()
    for archive, build in ((b"no archive" * 100, build_id), (b"", "another")):
        words = ("layer-bad", build, "1", "no", "orlop-update.service", "")
        assert node.run("sh", "-c", SCRIPT.read_text(), "push", *words, stdin=archive).code != 0
        assert state() == before


def test_a_service_that_does_not_start_is_said_and_mended(node: Node, tree: Path) -> None:
    whole = (tree / ENGINE).read_text()
    edit(tree / ENGINE, FUTURE, FUTURE + "\nraise ValueError('pushed')\n")
    broken = push(node, tree)
    assert broken.failed == ("orlop-update.service",)
    assert "ValueError: pushed" in broken.said
    (tree / ENGINE).write_text(whole)
    edit(tree / USR / "lib/orlop/health", "set -u\n", "set -u # pushed\n")
    mended = push(node, tree)
    assert mended.restarted == ("orlop-update.service", "orlop-health.service")
    assert mended.verdict == "good"
    assert json.loads(node.sh("cat /run/orlop/health.json"))["verdict"] == "good"


def test_what_was_pushed_is_taken_back(node: Node, tree: Path) -> None:
    assert push(node, tree).is_well
    differs = bool(push(node, tree).files)  # only where the image is of other sources
    assert bool(modified(node)) is differs
    assert differs or node.sh(f"{OVERLAYS} || true") == ""
    assert "pushed" not in node.sh("orlop --help")
    assert node.sh("systemctl show -P Description orlop-update.service") == "Update engine\n"
    assert node.sh("systemctl is-system-running") == "running\n"
