"""Commands on a machine over SSH, without a password and without this user's own SSH configuration.

Each set of machines has a key of its own; a machine's host key is pinned when it is first met, in a known_hosts of
their own.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orlop.files import write_atomic
from orlop.machines.ports import LOOPBACK
from orlop.machines.tools import Tools

CONNECT_SECONDS = 30


@dataclass(frozen=True)
class Login:
    """What opens a machine: the private key's file, with `.pub` beside it, and the host keys that were met."""

    key: Path
    known_hosts: Path


def make_key(tools: Tools, login: Login, comment: str) -> str:
    """Make the key pair and return the public line."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(login.key)]
    tools.run(argv, what="making the lab's SSH key", timeout=60)
    return Path(f"{login.key}.pub").read_text().strip()


def forget(login: Login, machine: str) -> None:
    """Let a machine have a new host key: what it was pinned to is dropped, and the next one met is pinned."""
    try:
        lines = login.known_hosts.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return
    left = [line for line in lines if machine not in line.partition(" ")[0].split(",")]
    write_atomic(login.known_hosts, "".join(left), mode=0o600)


def options(login: Login, machine: str, port: int) -> list[str]:
    """The ssh command up to, not including, the remote command."""
    settings = {
        "IdentityFile": login.key,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": login.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "accept-new",
        "HostKeyAlias": machine,
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
        "ConnectTimeout": CONNECT_SECONDS,
        "ServerAliveInterval": 10,
        "ServerAliveCountMax": 3,
        "ForwardX11": "no",
    }
    argv = ["ssh", "-F", "none"]
    for name, value in settings.items():
        argv += ["-o", f'{name}="{value}"' if isinstance(value, Path) else f"{name}={value}"]
    return [*argv, "-p", str(port)]


def command(
    tools: Tools,
    login: Login,
    machine: str,
    port: int,
    remote: Sequence[str],
    *,
    tty: bool = False,
    extra: Sequence[str] = (),
) -> list[str]:
    """The full command line that runs `remote` on the machine, word for word; a login shell when it is empty.

    `extra`: further ssh options, for example a forward.
    """
    argv = [*options(login, machine, port), "-t" if tty else "-T", *extra, "--", f"root@{LOOPBACK}"]
    if remote:
        argv.append(shlex.join(remote))
    return tools.inside(argv)
