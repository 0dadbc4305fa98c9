"""`orlop-control` in a process of its own: what its unit runs, with other places. Started by `alone.running_control`.

Why a process: its memory and its processor time are measured, and it is ended and killed as on a server. The store is a
real etcd, spoken to plainly.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from orlop.control.signing import ClusterSigner
from orlop.workspace import Workspace

START_SECONDS = 30.0


@dataclass(frozen=True)
class AloneSettings:
    """What is handed over, as JSON."""

    folder: str
    ca: str
    ca_key: str
    openssl: tuple[str, ...]
    store: tuple[str, ...]
    port: int


@dataclass
class RunningControl:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def rss(self) -> int:
        """Bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))

    def processor_seconds(self) -> float:
        """Its own and its children's that have ended."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def is_running(self) -> bool:
        return self.process.poll() is None


@contextmanager
def running_control(folder: Path, signer: ClusterSigner, store: tuple[str, ...], port: int) -> Iterator[RunningControl]:
    """Until the block ends; it answers when it begins."""
    said = folder / "control.log"
    given = AloneSettings(str(folder), str(signer.certificate), str(signer.key), signer.openssl, store, port)
    with said.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contracts.control.alone", json.dumps(asdict(given))],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=Workspace.find().root,
        )  # fmt: skip
    there = RunningControl(process, port, said)
    try:
        until = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert there.is_running() and time.monotonic() < until, said.read_text()
            time.sleep(0.05)
        yield there
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    from orlop.cluster.settings import ClusterSettings
    from orlop.control.__main__ import ControlPlaces, run
    from orlop.model.cluster.names import Role

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    values = json.loads(sys.argv[1])
    given = AloneSettings(**values | {name: tuple(values[name]) for name in ("openssl", "store")})
    folder = Path(given.folder)
    signer = ClusterSigner(Path(given.ca), Path(given.ca_key), given.openssl)
    there = ControlPlaces(signer, folder / "tls", folder / "token", None, given.store, given.port)
    asyncio.run(run(ClusterSettings("test", Role.SERVER, ("127.0.0.1",)), "5" * 32, there))


if __name__ == "__main__":
    main()
