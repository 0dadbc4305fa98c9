"""The program that a container machine is: it holds the namespaces, the console and the process 1 of one machine.

Started by `driver.launch` as `unshare --net --mount python supervise.py MACHINE.json`, with nothing but the standard
library: it must be small, one of it runs a machine. It says `ready PID` on its output when it can be given links, is
told `go` on its input when it has them, and then lets go of both. Without `go` it ends.

    mounts      the image's usr below /run/orlop-machine, in this mount namespace; a /run of its own, so that nspawn
                leaves nothing in the computer's
    console     a pseudo-terminal: what comes goes to the log, and to whoever is joined to the socket, one at a time
    starts      systemd-nspawn, and again when the machine reboots (status 133); its end is this program's end

Invariant: when this program ends, for whatever reason, its machine has ended: nspawn's process 1 dies with nspawn, and
nspawn with us (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any, BinaryIO

REBOOT = 133  # systemd-nspawn --keep-unit: the machine asks to be started again
_PR_SET_PDEATHSIG = 1
_ROWS, _COLUMNS = 25, 80
_CHUNK = 65536


class Console:
    """The machine's terminal: `terminal` is our end of it, `machine` the one that it gets."""

    def __init__(self, log: BinaryIO, listener: socket.socket) -> None:
        self.terminal, self.machine = os.openpty()
        fcntl.ioctl(self.machine, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self.log = log
        self.listener = listener
        self.visitor: socket.socket | None = None
        self.events = selectors.DefaultSelector()
        self.events.register(self.terminal, selectors.EVENT_READ, self.said)
        self.events.register(listener, selectors.EVENT_READ, self.visited)

    def say(self, line: str) -> None:
        self.write(f"orlop-lab: {line}\r\n".encode())

    def write(self, data: bytes) -> None:
        self.log.write(data)
        if self.visitor:
            try:
                self.visitor.sendall(data)
            except OSError:
                self.leave()

    def said(self) -> None:
        self.write(os.read(self.terminal, _CHUNK))

    def visited(self) -> None:
        """Somebody sits down at the console; whoever was there leaves."""
        self.leave()
        self.visitor, _ = self.listener.accept()
        self.visitor.settimeout(1.0)  # one that does not read must not hold the machine's console
        self.events.register(self.visitor, selectors.EVENT_READ, self.typed)

    def typed(self) -> None:
        if self.visitor is None:
            return
        try:
            data = self.visitor.recv(_CHUNK)
        except OSError:
            data = b""
        if data:
            os.write(self.terminal, data)
        else:
            self.leave()

    def leave(self) -> None:
        if self.visitor:
            self.events.unregister(self.visitor)
            self.visitor.close()
            self.visitor = None

    def drain(self) -> None:
        """What was said before the end and not read yet."""
        os.set_blocking(self.terminal, False)
        try:
            while True:
                self.said()
        except OSError:
            os.set_blocking(self.terminal, True)

    def attend(self, child: subprocess.Popen[bytes]) -> int:
        """Carry the console until the child has ended; its status."""
        ended = os.pidfd_open(child.pid)
        self.events.register(ended, selectors.EVENT_READ)
        try:
            while True:
                ready = [key for key, _ in self.events.select()]
                for key in ready:
                    if key.data:
                        key.data()
                if any(key.fd == ended for key in ready):
                    self.drain()
                    return child.wait()
        finally:
            self.events.unregister(ended)
            os.close(ended)


def mount(spec: dict[str, Any]) -> None:
    usr = Path(spec["usr"])
    stage = Path(spec["stage"])
    run = ["mount", "-n"]
    subprocess.run([*run, "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"], check=True)
    (stage / "usr").mkdir(parents=True)
    # mount(8) takes the loop device that has this file already: the machines share its pages
    how = ["--bind", "-o", "ro"] if usr.is_dir() else ["-t", "erofs", "-o", "ro,loop"]
    subprocess.run([*run, *how, usr, stage / "usr"], check=True)


def enter(group: Path) -> None:
    (group / "cgroup.procs").write_text("0")


def start(spec: dict[str, Any], console: Console) -> subprocess.Popen[bytes]:
    group = Path(spec["cgroup"])
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        enter(group / "machine")
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    # asked at each start: it may have been given, or taken away, since the last
    config = [spec["config_option"]] if Path(spec["config"]).exists() else []
    return subprocess.Popen(
        [*spec["nspawn"], *config, *spec["process_one"]],
        env=spec["environment"],
        stdin=console.machine,
        stdout=console.machine,
        stderr=console.machine,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509 — there is one thread
    )


def main(place: str) -> int:
    spec = json.loads(Path(place).read_text())
    enter(Path(spec["cgroup"]) / "lab")
    mount(spec)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = Path(spec["console"])
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen(4)
    os.write(1, f"ready {os.getpid()}\n".encode())
    if sys.stdin.readline() != "go\n":
        return 1
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    with Path(spec["log"]).open("ab", buffering=0) as log:
        console = Console(log, listener)
        status = REBOOT
        while status == REBOOT:
            console.say(f"{spec['name']} starts")
            status = console.attend(start(spec, console))
        console.say(f"{spec['name']} is off" + (f" (systemd-nspawn ended with {status})" if status else ""))
    path.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
