"""The tree of Debian packages and our files, made by mkosi with the SDK's tools.

mkosi runs under this host's Python from the SDK's own copy. The installed packages are cached (mkosi's incremental
mode), so a change to our files alone does not install them again; downloaded packages are kept as well.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import CommandFailed
from orlop.files import remove_tree, write_atomic
from orlop.processes import run
from orlop.sdk.sources import from_host
from orlop.workspace import Workspace


@dataclass(frozen=True)
class PackageTree:
    """A fresh tree that is the caller's to change, and (name, version) of every package in it, sorted."""

    root: Path
    packages: tuple[tuple[str, str], ...]


def make_tree(
    ws: Workspace, definition: Path, output: Path, *, epoch: int, name: str, args: Sequence[str | Path] = ()
) -> PackageTree:
    """Run mkosi on the folder `definition` and return the tree it made in `output`.

    `epoch`: the time stamp of every file, in seconds; `name`: tells this definition's cache from others'; `args`:
    further mkosi options. Raises CommandFailed with mkosi's last lines.
    """
    remove_tree(output)
    output.mkdir(parents=True)
    cache = ws.cache / f"mkosi-{name}"
    packages = ws.cache / "mkosi-packages"
    workspace = output / "workspace"
    for folder in (cache, packages, workspace):
        folder.mkdir(parents=True, exist_ok=True)
    argv: list[str | Path] = [
        *(sys.executable, "-m", "mkosi"),
        *("-C", definition),
        *("--tools-tree", ws.sdk),
        "--tools-tree-certificates=no",
        *("--sandbox-tree", _apt_tree(ws)),
        *("--output-directory", output),
        *("--output", "tree"),
        *("--workspace-directory", workspace),
        *("--cache-directory", cache),
        *("--package-cache-dir", packages),
        "--incremental=yes",
        *("--source-date-epoch", str(epoch)),
        *args,
        "--force",
        "build",
    ]
    env = {"PYTHONPATH": str(ws.sdk / "usr/lib/python3/dist-packages"), "PYTHONDONTWRITEBYTECODE": "1"}
    log = ws.state / "logs" / f"mkosi-{name}.log"
    try:
        run(argv, what="installing the image's packages", log=log, env=env)
    except CommandFailed as e:
        raise CommandFailed(e.message, code=e.code, tail=e.tail, hint=_hint(e.tail)) from None
    manifest = json.loads((output / "tree.manifest").read_text())
    listed = sorted((p["name"], p["version"]) for p in manifest["packages"])
    return PackageTree(output / "tree", tuple(listed))


def _apt_tree(ws: Workspace) -> Path:
    """A folder mkosi lays over its sandbox, so that apt there uses this host's archives; the same path every time."""
    tree = ws.cache / "mkosi-apt"
    sources = from_host()
    if sources is None:
        tree.mkdir(parents=True, exist_ok=True)
        return tree
    for path, text in (
        (tree / "etc/apt/sources.list.d/mkosi.sources", sources.deb822()),
        (tree / "etc/apt/apt.conf.d/90-host", sources.apt_conf()),
    ):
        if not path.exists() or path.read_text() != text:
            write_atomic(path, text)
    return tree


def _hint(tail: str) -> str:
    if re.search(r"No space left", tail):
        return "free some space, or set ORLOP_STATE to a folder on a larger disk"
    if re.search(r"Could not (connect|resolve)|Failed to fetch|Connection (failed|refused|timed out)", tail):
        return "the package archive did not answer: check the network, then run the same again; downloads are kept"
    if re.search(r"unshare|user namespace|Operation not permitted", tail) and os.geteuid() != 0:
        return "mkosi needs user namespaces; where the host forbids them, run as root"
    return "run the same again; `orlop image build --clean` starts from an empty package cache"
