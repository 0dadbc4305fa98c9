"""Commands on a node over SSH, without a password and without this user's own SSH configuration.

Each lab has a key of its own; a node's host key is pinned when it is first met, in the lab's own known_hosts.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from orlop.files import write_atomic
from orlop.lab.paths import Paths
from orlop.lab.ports import LOOPBACK
from orlop.sdk.run import in_sdk, sdk_run

CONNECT_SECONDS = 30


def make_key(paths: Paths) -> str:
    """Make the lab's key pair and return the public line."""
    comment = f"orlop-lab-{paths.name}"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(paths.key)]
    sdk_run(paths.ws, argv, what="making the lab's SSH key", timeout=60)
    return Path(f"{paths.key}.pub").read_text().strip()


def forget(paths: Paths, node: str) -> None:
    """Let a node have a new host key: what it was pinned to is dropped, and the next one met is pinned."""
    try:
        lines = paths.known_hosts.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return
    left = [line for line in lines if node not in line.partition(" ")[0].split(",")]
    write_atomic(paths.known_hosts, "".join(left), mode=0o600)


def options(paths: Paths, node: str, port: int) -> list[str]:
    """The ssh command up to, not including, the remote command."""
    settings = {
        "IdentityFile": paths.key,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "UserKnownHostsFile": paths.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "accept-new",
        "HostKeyAlias": node,
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
    paths: Paths, node: str, port: int, remote: Sequence[str], *, tty: bool = False, extra: Sequence[str] = ()
) -> list[str]:
    """The full command line that runs `remote` on the node, word for word; a login shell when it is empty.

    `extra`: further ssh options, for example a forward.
    """
    argv = [*options(paths, node, port), "-t" if tty else "-T", *extra, "--", f"root@{LOOPBACK}"]
    if remote:
        argv.append(shlex.join(remote))
    return in_sdk(paths.ws, argv)
