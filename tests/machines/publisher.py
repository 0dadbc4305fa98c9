"""A publisher: a release repository of its own, made and changed by `orlop release`, on a web server of its own.

Its folder is as docs/guide/publish.md says; machines of a lab reach what is served at `url`. Lifetime: a block.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orlop.lab.nodeconfig import HOST_FROM_NODE
from orlop.machines.ports import LOOPBACK
from orlop.workspace import Workspace
from simulators.httpd import WebServer, serve

PASSPHRASE = "correct horse"


@dataclass(frozen=True)
class Publisher:
    """`said` by its commands goes to whoever calls them."""

    ws: Workspace
    folder: Path
    server: WebServer

    @property
    def url(self) -> str:
        return self.server.url.replace(LOOPBACK, HOST_FROM_NODE)

    def release(self, *words: str) -> str:
        """`orlop release …`; all that it says. Fails with the words when it fails."""
        return orlop(self.ws, self.folder, "release", *words)

    def follower(self, channel: str, every: str = "10s") -> str:
        """The configuration of a machine that follows the channel and asks often, as Butane."""
        root = json.dumps((self.folder / "root.json").read_text())
        return (
            "variant: orlop\nversion: 1.0.0\n"
            f"update: {{channel: {channel}, urls: ['{self.url}'], check_every: {every}}}\n"
            f"trust: {{root: {root}}}\n"
        )


@contextmanager
def publishing(ws: Workspace, folder: Path) -> Iterator[Publisher]:
    """A new repository with the standard channels, which have nothing yet; in `folder`, which is not there yet."""
    orlop(ws, folder, "release", "init")
    with serve(folder / "repo") as server:
        yield Publisher(ws, folder, server)


def orlop(ws: Workspace, release: Path, *words: str) -> str:
    """A command as the publisher types it, without a terminal."""
    secret = release.parent / f"{release.name}.passphrase"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "orlop", *words],
        env={**os.environ, "ORLOP_STATE": str(ws.state), "ORLOP_RELEASE": str(release),
             "ORLOP_PASSPHRASE_FILE": str(secret), "PYTHONPATH": str(ws.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"orlop {' '.join(words)}:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
