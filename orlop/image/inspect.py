"""What an image holds, measured on its tree and artifacts when it is built, kept beside it as `manifest.json`."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orlop.image import runtime
from orlop.image.prune import executables, walk
from orlop.image.seal import Sealed
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

# programs that run text they are given, by the names they are installed under
INTERPRETERS = re.compile(
    r"(sh|dash|bash|rbash|ksh\w*|mksh|zsh|fish|csh|tcsh|busybox|perl[\d.]*|python[\d.]*|ruby[\d.]*|lua(jit)?[\d.]*|node(js)?|"
    r"php[\d.]*|tclsh[\d.]*|expect|guile[\d.]*|gawk|mawk|awk|nawk|original-awk|bc|dc|gdb|jq|java|mono|deno|bun)"
)


def describe(
    ws: Workspace,
    tree: Path,
    sealed: Sealed,
    packages: Sequence[tuple[str, str]],
    *,
    kernel: str,
    inputs: str,
    build_id: str,
    initrd: Path,
) -> dict[str, Any]:
    """The manifest. Sizes are in bytes; `tree` holds the finished /usr."""
    on_path = executables(tree)
    return {
        "version": str(sealed.version),
        "build_id": build_id,
        "inputs": inputs,
        "kernel": kernel,
        "roothash": sealed.roothash,
        "payload_bytes": sealed.payload_bytes,
        "usr_bytes": sealed.usr.stat().st_size,
        "verity_bytes": sealed.verity.stat().st_size,
        "uki_bytes": sealed.uki.stat().st_size,
        "initrd_bytes": initrd.stat().st_size,
        "image_bytes": sealed.disk.stat().st_size,
        "image_zstd_bytes": zstd_size(ws, sealed.disk),
        "sha256": {p.name: sha256(p) for p in (sealed.usr, sealed.verity, sealed.uki)},
        "packages": [{"name": name, "version": version} for name, version in packages],
        "executables": sorted(on_path),
        "setuid": setuid_files(tree),
        "interpreters": interpreters(tree),
        "units": enabled_units(tree),
    }


def setuid_files(tree: Path) -> list[str]:
    return [
        f"/{path.relative_to(tree)}"
        for path in walk(tree)
        if stat.S_ISREG(mode := path.lstat().st_mode) and mode & (stat.S_ISUID | stat.S_ISGID)
    ]


def interpreters(tree: Path) -> list[str]:
    """Interpreters the host can find, by name; several names of one program count once, under the shortest.

    The private one of the node's programs is not among them, and has a figure of its own in the manifest.
    """
    found: dict[Path, str] = {}
    for path in walk(tree / "usr"):
        if path.is_relative_to(tree / runtime.PLACE):
            continue
        mode = path.stat().st_mode if path.exists() else 0
        if stat.S_ISREG(mode) and mode & 0o111 and INTERPRETERS.fullmatch(path.name):
            real = path.resolve()
            if real not in found or len(path.name) < len(found[real]):
                found[real] = path.name
    return sorted(found.values())


def enabled_units(tree: Path) -> list[str]:
    """Units that something in /etc or /usr wants or requires, by their names, sorted."""
    folders = (tree / "usr/share/factory/etc/systemd/system", tree / "usr/lib/systemd/system")
    links = (p for folder in folders for kind in ("wants", "requires") for p in folder.glob(f"*.{kind}/*"))
    return sorted({p.name for p in links})


def zstd_size(ws: Workspace, path: Path) -> int:
    out = sdk_run(
        ws, ["sh", "-c", f"zstd -q -3 -T0 -c '{path}' | wc -c"], what="compressing the image", binds=[path.parent]
    )
    return int(out)


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
