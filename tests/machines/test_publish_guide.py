"""The guide "Publish your own OS", word for word: from nothing to a machine that updates itself.

Every command of docs/guide/publish.md that names this file runs in the order of the page, in an empty folder, as a
person types it.
Two things are the test's: a free port in the place of 8000, and `orlop image build` gives a variant of the image.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orlop.lab import lab
from orlop.lab.lab import Lab
from orlop.machines import console
from orlop.machines.ports import home, pick
from orlop.processes import end_group
from orlop.workspace import Workspace
from simulators.variants import Releases
from tests.machines.publisher import PASSPHRASE
from tests.machines.updates import arrives, status
from tests.pages import ROOT, of

SHARED = ("sdk", "cache", "demo")
PORT = "8000"
BUILD = "orlop image build"


class Reader:
    """Somebody who follows the guide in `here`; `ws` is a state folder of their own, with the image in it."""

    def __init__(self, ws: Workspace, here: Path, releases: Releases) -> None:
        self.ws, self.here, self.releases = ws, here, releases
        self.port = str(pick((), home(str(here))))
        self.said: dict[str, str] = {}
        self.behind: list[subprocess.Popen[bytes]] = []
        (here / "pass").write_text(PASSPHRASE)
        self.env = {**os.environ, "ORLOP_STATE": str(ws.state), "ORLOP_PASSPHRASE_FILE": str(here / "pass"),
                    "PYTHONPATH": str(ws.root)}  # fmt: skip
        self.env.pop("ORLOP_RELEASE", None)

    def follow(self, page: Path) -> None:
        for block in of(Path(__file__), page):
            body = block.text.replace(PORT, self.port)
            if block.kind == "yaml":
                (self.here / "node.bu").write_text(body)
                continue
            for line in body.splitlines():
                self.type(line)

    def type(self, line: str) -> None:
        program, *words = shlex.split(line)
        assert program == "orlop", line
        if line == BUILD:
            self._build()
            return
        argv = [sys.executable, "-m", "orlop", *(word for word in words if word != "&")]
        if words[-1] == "&":
            with (self.here / "behind").open("ab") as log:
                self.behind.append(
                    subprocess.Popen(argv, cwd=self.here, env=self.env, stdout=log, stderr=log, start_new_session=True)
                )
            return
        done = subprocess.run(
            argv, cwd=self.here, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}:\n{done.stdout}{done.stderr}"
        with (self.here / "transcript").open("a") as transcript:
            transcript.write(f"$ {line}\n{done.stderr}{done.stdout}")
        self.said[line] = done.stdout + done.stderr

    def _build(self) -> None:
        made = self.releases.make(1)
        (self.ws.images / made.name).symlink_to(made)
        latest = self.ws.images / "latest"
        latest.unlink()
        latest.symlink_to(made.name)


@pytest.fixture
def reader(ws: Workspace, image: Path, tmp_path: Path) -> Iterator[Reader]:
    state = tmp_path / "state"
    (state / "images").mkdir(parents=True)
    for name in SHARED:
        (state / name).symlink_to(ws.state / name)
    (state / "images" / image.name).symlink_to(image)
    (state / "images/latest").symlink_to(image.name)
    here = tmp_path / "here"
    here.mkdir()
    there = Reader(Workspace(ws.root, state), here, Releases(ws, image))
    try:
        yield there
    finally:
        for child in there.behind:
            end_group(child)
        for name in lab.names(there.ws):
            lab.down(there.ws, name)


@contextmanager
def looked_through(ws: Workspace, name: str) -> Iterator[Lab]:
    """The lab that the guide made; nothing on its console that should not be there."""
    there = lab.open_lab(ws, name)
    yield there
    for node in there.nodes:
        assert console.failures(node.console_text()) == [], node.name


def test_from_nothing_to_a_machine_that_updates_itself(reader: Reader) -> None:
    releases = reader.releases
    reader.follow(ROOT / "docs/guide/publish.md")
    with looked_through(reader.ws, "fleet") as there:
        node = there.node("n1")
        arrives(node, releases.version(1), 0)
        until = time.monotonic() + 120
        while f"on alpha: running {releases.version(1)}, the newest" not in (found := status(node))["reason"]:
            assert time.monotonic() < until, found
            time.sleep(2)
        versions = {slot["version"]: slot["blessed"] for slot in found["slots"]}
        assert versions == {str(releases.base): True, str(releases.version(1)): True}
        assert "asked to" not in node.sh("journalctl -u orlop-update.service -o cat --no-pager")
        reader.type("orlop node status n1 --name fleet")
    assert f"{releases.base} is on alpha" in reader.said["orlop release publish"]
