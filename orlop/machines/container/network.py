"""The rim of a lab's network: its namespace, the links of its container machines, their way out.

The namespace lives as long as the lab's switch, which is started in it; a machine's end of its links lives as long as
its supervisor, and its slirp4netns ends with that. So nothing here has to be cleaned up.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orlop.errors import Busy, CommandFailed
from orlop.machines.container import words
from orlop.machines.container.words import ContainerMachine
from orlop.machines.ports import Forward
from orlop.machines.tools import Tools
from orlop.processes import run

_SECONDS = 20.0
# IPv6 would have every link of the namespace talk to itself; what machines say passes all the same
_MAKE = 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; printf %s "$1" | ip -batch -'


def setup_script(with_tap: bool) -> list[str]:
    """The command that makes the lab's network in the namespace it is run in."""
    return ["sh", "-c", _MAKE, "sh", words.namespace_setup(with_tap)]


def batch(tools: Tools, net: Path, text: str, *, what: str, force: bool = False) -> None:
    """Run `ip -batch` in the namespace `net`."""
    ip = ["ip", *(["-force"] if force else []), "-batch", "-"]
    argv = tools.inside(["nsenter", f"--net={net}", *ip])
    try:
        run(argv, what=what, stdin=text.encode(), timeout=_SECONDS)
    except CommandFailed:
        if not force:
            raise


@contextmanager
def way_out(tools: Tools, m: ContainerMachine) -> Iterator[tuple[int, ...]]:
    """Start slirp4netns for a machine; yields the descriptors that its supervisor inherits. It ends when the last
    process that has them does, and so at once when the block fails before there is one.

    Raises Busy (a port is taken) or CommandFailed.
    """
    ends, held = os.pipe()
    is_ready, ready = os.pipe()
    at, api = m.at, m.at.slirp
    api.unlink(missing_ok=True)
    try:
        argv = tools.inside(words.slirp(m.name, m.net, api, ready, ends), die_with_parent=False)
        with at.slirp_log.open("wb") as log:
            # by way of setsid, which leaves it to itself: it ends with the machine, not with us
            subprocess.run(
                ["setsid", "--fork", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(ends, ready),
                check=True,
            )
        for fd in (ends, ready):
            os.close(fd)
        ends = ready = -1
        if os.read(is_ready, 1) != b"1":
            tail = at.slirp_log.read_text(errors="replace")[-2000:]
            raise CommandFailed(f"the way out of {m.name} could not be made: slirp4netns ended", code=1, tail=tail)
        for forward in m.forwards:
            _forward(api, forward)
        yield (held,)
    finally:
        for fd in (ends, ready, is_ready, held):
            if fd >= 0:
                os.close(fd)


def _forward(api: Path, forward: Forward) -> None:
    """Ask slirp4netns for a forwarded port: one request a connection, which it answers when our side is closed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(_SECONDS)
        s.connect(str(api))
        s.sendall(words.forward_request(forward))
        s.shutdown(socket.SHUT_WR)
        answer = json.loads(s.makefile("rb").read() or b"{}")
    if "return" not in answer:
        raise Busy(
            f"port {forward.host} cannot lead to port {forward.guest} of a machine: {answer.get('error')}",
            hint="choose another port with --publish",
        )
