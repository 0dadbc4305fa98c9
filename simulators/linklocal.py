"""A network of its own with nothing in it but 169.254.169.254, and a program in it that believes to be in a cloud.

As a program: makes the address on the loopback of the network namespace it is in, listens on its port 80, hands that
socket to the one who started it and becomes the command it was given. So the service is served by a test, outside the
namespace, and what is in it has nobody else to talk to. Needs no root: a user namespace gives what is needed.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from orlop.processes import end_group

ADDRESS = "169.254.169.254"
PORT = 80
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C  # linux/sockios.h
_UP = 0x1 | 0x40  # IFF_UP, IFF_RUNNING
_ROOT = Path(__file__).parents[1]


@contextmanager
def inside(command: Sequence[str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Run a command there; gives it, and the listening socket, which the caller closes. It ends with the block."""
    ours, theirs = socket.socketpair()
    unshare = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    with ours, theirs, log.open("wb") as out:
        child = subprocess.Popen(
            [*unshare, sys.executable, "-m", "simulators.linklocal", str(theirs.fileno()), *command],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        try:
            ours.settimeout(30)
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            assert fds, log.read_text()
            yield child, socket.socket(fileno=fds[0])
        finally:
            end_group(child)


def main(fd: str, *command: str) -> None:
    _set_up()
    listening = socket.create_server((ADDRESS, PORT))
    with socket.socket(fileno=int(fd)) as to:
        socket.send_fds(to, [b"x"], [listening.fileno()])
    listening.close()
    os.execvp(command[0], command)


def _set_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))
        for request, value in ((_SIOCSIFADDR, ADDRESS), (_SIOCSIFNETMASK, "255.255.255.255")):
            address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(s, request, struct.pack("16s16s", b"lo:1", address))


if __name__ == "__main__":
    main(*sys.argv[1:])
