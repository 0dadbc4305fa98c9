"""A real etcd of one or three members on loopback, out of the SDK; stopped by its process id.

It speaks plainly: certificates are tested where they are made. Its data are gone with the folder.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orlop.sdk import tree
from orlop.sdk.run import in_sdk
from orlop.steps import Steps
from orlop.workspace import Workspace

START_SECONDS = 30.0


@dataclass
class RunningMember:
    name: str
    folder: Path
    client: int
    peer: int
    cluster: str
    state: str = "new"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    scheme: str = "http"
    more: tuple[str | Path, ...] = ()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.client}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer}"

    def start(self) -> None:
        ws = Workspace.find()
        command: list[str | Path] = [
                   "etcd", "--name", self.name, "--data-dir", self.folder, "--listen-client-urls", self.url,
                   "--advertise-client-urls", self.url, "--listen-peer-urls", self.peer_url,
                   "--initial-advertise-peer-urls", self.peer_url, "--initial-cluster", self.cluster,
                   "--initial-cluster-state", self.state, "--log-level", "error", "--unsafe-no-fsync",
                   "--experimental-watch-progress-notify-interval", "1s",
                   "--quota-backend-bytes", str(64 << 20), *self.more]  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.folder.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                in_sdk(ws, command, binds=[self.folder.parent]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def pause(self) -> None:
        """It holds its connections and says nothing, like a machine whose link is cut."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _signal(self, number: int) -> None:
        """To the whole session: etcd is a child of the sandbox."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def wait(self) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            assert self.process is not None
            assert self.process.poll() is None, self.folder.with_suffix(".log").read_text()
            with suppress(OSError, ValueError), urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                if json.load(answer)["health"] == "true":
                    return
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not healthy:\n{self.folder.with_suffix('.log').read_text()}")


@contextmanager
def running(folder: Path, count: int, names: Sequence[str] = ()) -> Iterator[list[RunningMember]]:
    """As many members, healthy; a test may kill, pause and start them. `names`: theirs, m0 and so on if none."""
    tree.ensure(Workspace.find(), Steps())
    ports = free_ports(2 * count)
    called = [*names] or [f"m{n}" for n in range(count)]
    cluster = ",".join(f"{called[n]}=http://127.0.0.1:{ports[2 * n + 1]}" for n in range(count))
    members = [
        RunningMember(called[n], folder / f"m{n}", ports[2 * n], ports[2 * n + 1], cluster) for n in range(count)
    ]
    with ExitStack() as stack:
        for member in members:
            stack.callback(member.kill)
            member.start()
        for member in members:
            member.wait()
        yield members


def free_ports(count: int) -> list[int]:
    """Nobody listens there now: all are held until all are found."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
