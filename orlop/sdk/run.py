"""Run a program of the SDK, seeing the host's files where they are.

bubblewrap puts the SDK's `/usr` over the host's and leaves the rest in place: the workspace, `/tmp`, `/dev` (KVM),
the network and the caller's identity. `--die-with-parent` and the caller's process group make sure that what is
started also ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from orlop.processes import run
from orlop.workspace import Workspace

_TOP_LINKS = ("bin", "sbin", "lib", "lib64")
_FROM_HOST = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf")

# the host's own may name folders and locales that are not there
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8"}


def in_sdk(
    ws: Workspace,
    argv: Sequence[str | Path],
    *,
    binds: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    die_with_parent: bool = True,
) -> list[str]:
    """The command line that runs `argv` inside the SDK. `binds`: further folders it may write to."""
    sdk = ws.sdk
    cmd: list[str | Path] = ["bwrap", "--ro-bind", sdk / "usr", "/usr"]
    for name in _TOP_LINKS:
        cmd += ["--symlink", f"usr/{name}", f"/{name}"]
    cmd += ["--ro-bind", sdk / "etc", "/etc"]
    for path in _FROM_HOST:
        if Path(path).exists() and (sdk / path.lstrip("/")).is_file():
            cmd += ["--ro-bind", os.path.realpath(path), path]
    cmd += ["--dev-bind", "/dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
    cmd += ["--bind", "/tmp", "/tmp", "--tmpfs", "/run", "--dir", "/var/tmp"]
    for folder in dict.fromkeys([ws.root, ws.state, *binds]):
        cmd += ["--bind", folder, folder]
    cmd += ["--chdir", Path.cwd() if Path.cwd().is_relative_to(ws.root) else ws.root]
    for name, value in {**_ENVIRONMENT, **(env or {})}.items():
        cmd += ["--setenv", name, value]
    if die_with_parent:
        cmd.append("--die-with-parent")
    return [os.fspath(a) for a in (*cmd, "--", *argv)]


def sdk_run(
    ws: Workspace,
    argv: Sequence[str | Path],
    *,
    what: str,
    binds: Sequence[Path] = (),
    log: Path | None = None,
    timeout: float | None = None,
    hint: str = "",
) -> str:
    """Run to the end inside the SDK and return the output. Errors as `orlop.processes.run`."""
    return run(in_sdk(ws, argv, binds=binds), what=what, log=log, timeout=timeout, hint=hint)
