"""What an image holds, measured on its tree and artifacts when it is built, kept beside it as `manifest.json`."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

from orlop.image import runtime, selinux
from orlop.image.interpreters import interpreters
from orlop.image.prune import executables, walk
from orlop.image.seal import Sealed
from orlop.model.contents.contents import KINDS, ImageContents
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace


def describe(
    ws: Workspace,
    tree: Path,
    sealed: Sealed,
    contents: ImageContents,
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
        "roothash": sealed.root_hash,
        "payload_bytes": sealed.payload_bytes,
        "usr_bytes": sealed.usr.stat().st_size,
        "verity_bytes": sealed.verity.stat().st_size,
        "uki_bytes": sealed.uki.stat().st_size,
        "initrd_bytes": initrd.stat().st_size,
        "image_bytes": sealed.disk.stat().st_size,
        "image_zstd_bytes": zstd_size(ws, sealed.disk),
        "sha256": {p.name: sha256(p) for p in (sealed.usr, sealed.verity, sealed.uki)},
        "packages": [{"name": c.name, "version": c.version} for c in contents.components if c.kind == "deb"],
        "components": {kind: sum(c.kind == kind for c in contents.components) for kind in KINDS},
        "licences": contents.known_licences(),
        "executables": sorted(on_path),
        "setuid": setuid_files(tree),
        "interpreters": interpreters(tree, tree / runtime.PLACE),
        "units": enabled_units(tree),
        "selinux": selinux.mode(ws),
    }


def setuid_files(tree: Path) -> list[str]:
    return [
        f"/{path.relative_to(tree)}"
        for path in walk(tree)
        if stat.S_ISREG(mode := path.lstat().st_mode) and mode & (stat.S_ISUID | stat.S_ISGID)
    ]


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
