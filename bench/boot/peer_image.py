"""Build the peer image: the tree in bench/boot/peer on a disk with the firmware path that Orlop has (systemd-boot, one
UKI).

Lifetime: `.orlop/bench/peer` is kept until that tree, this file or the SDK changes. What differs from Orlop is what is
compared: a writable ext4 root with Debian's own initrd, and containerd.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orlop.files import locked, made_beside, need_space, remove_tree, write_atomic
from orlop.image.build import kernel_release
from orlop.image.inspect import setuid_files, zstd_size
from orlop.image.interpreters import interpreters
from orlop.image.prune import executables, walk
from orlop.image.seal import LOADER, LOADER_CONF, ON_ESP, STUB
from orlop.image.tree import make_tree
from orlop.sdk.run import sdk_run
from orlop.sdk.tree import ensure as ensure_sdk
from orlop.sdk.tree import wanted_key
from orlop.steps import Steps
from orlop.workspace import Workspace

DEFINITION = Path(__file__).with_name("peer")
ROOT_UUID = uuid.UUID("3ba1c5a4-0c5b-4d1e-9a55-6f0ea26a3a10")  # any, but the same on disk and on the command line
ROOT_ZSTD = 12  # the level the root file system is weighed at
NEEDED_BYTES = 5_000_000_000
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Peer:
    """A built peer: `disk` to boot from, `about` as Orlop's manifest has it (sizes in bytes)."""

    disk: Path
    about: dict[str, Any]


def ensure(ws: Workspace, steps: Steps) -> Peer:
    """Return the peer image, building it first if it is missing or stale. Raises NoSpace, Busy or CommandFailed."""
    ensure_sdk(ws, steps)
    folder = ws.state / "bench" / "peer"
    key = input_key()
    found = _load(folder, key)
    if found is None:
        with locked(ws.state / "image.lock", "the image builder"):  # mkosi's package cache is shared
            need_space(ws.state, NEEDED_BYTES, "building the peer image")
            with steps.step("Building the peer image"), made_beside(folder) as work:
                _make(ws, steps, work, key)
        found = _load(folder, key)
        assert found is not None
    return found


def input_key() -> str:
    digest = hashlib.sha256(wanted_key().encode() + Path(__file__).read_bytes())
    for path in walk(DEFINITION):
        if path.is_file():
            digest.update(
                f"{path.relative_to(DEFINITION)} {path.stat().st_mode & 0o111:o}\n".encode() + path.read_bytes()
            )
    return digest.hexdigest()


def _load(folder: Path, key: str) -> Peer | None:
    try:
        about = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    disk = folder / "peer.raw"
    return Peer(disk, about) if about.get("inputs") == key and disk.is_file() else None


def _make(ws: Workspace, steps: Steps, folder: Path, key: str) -> None:
    start = time.monotonic()
    work = folder / "work"
    work.mkdir()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    epoch = int(today.timestamp())
    with steps.step("Installing packages"):
        made = make_tree(ws, DEFINITION, work / "mkosi", epoch=epoch, name="peer")
    tree = made.root
    kernel = kernel_release(tree)
    uki = folder / "peer.efi"
    with steps.step("Making the UKI and the disk"):
        _make_uki(ws, tree, kernel, uki)
        root_bytes = _make_disk(ws, tree, uki, folder, work, epoch)
    disk = folder / "peer.raw"
    with steps.step("Describing the image"):
        about = {
            "inputs": key,
            "kernel": kernel,
            "payload_bytes": root_bytes + uki.stat().st_size,
            "uki_bytes": uki.stat().st_size,
            "image_bytes": disk.stat().st_size,
            "image_zstd_bytes": zstd_size(ws, disk),
            "build_seconds": round(time.monotonic() - start, 1),
            "packages": [{"name": name, "version": version} for name, version in made.packages],
            "executables": sorted(executables(tree)),
            "setuid": setuid_files(tree),
            "interpreters": interpreters(tree),
        }
        write_atomic(folder / MANIFEST, json.dumps(about, indent=2) + "\n")
    remove_tree(work)


def _make_uki(ws: Workspace, tree: Path, kernel: str, uki: Path) -> None:
    """Join the stub, Debian's kernel, the initrd its hooks made, and bench/boot/peer/cmdline."""
    cmdline = (DEFINITION / "cmdline").read_text().strip().replace("@ROOT_UUID@", str(ROOT_UUID))
    sdk_run(
        ws,
        [
            *("/usr/lib/systemd/ukify", "build", "--stub", f"/{STUB}"),
            *("--linux", tree / f"boot/vmlinuz-{kernel}", "--initrd", tree / f"boot/initrd.img-{kernel}"),
            *("--uname", kernel, "--os-release", f"@{tree / 'usr/lib/os-release'}", "--cmdline", cmdline),
            *("--output", uki),
        ],
        what="making the peer's UKI",
        binds=[uki.parent, tree],
    )


def _make_disk(ws: Workspace, tree: Path, uki: Path, folder: Path, work: Path, epoch: int) -> int:
    """Write peer.raw; return the bytes of its root file system as it would be shipped (compressed)."""
    for path in (tree / "boot").iterdir():  # kernel and initrd are in the UKI; not counted twice
        remove_tree(path)
    source = work / "disk-root"
    esp = source / "esp"
    for name in ("EFI/BOOT", "EFI/Linux", "loader"):
        (esp / name).mkdir(parents=True)
    (esp / "loader/loader.conf").write_text(LOADER_CONF)
    shutil.copyfile(ws.sdk / LOADER, esp / ON_ESP[0])
    shutil.copyfile(uki, esp / "EFI/Linux/peer.efi")
    tree.rename(source / "root")
    definitions = work / "disk-definitions"
    definitions.mkdir()
    for conf in sorted((DEFINITION / "disk").glob("*.conf")):
        (definitions / conf.name).write_text(re.sub("@ROOT_UUID@", str(ROOT_UUID), conf.read_text()))
    disk = folder / "peer.raw"
    sdk_run(
        ws,
        [
            *("env", f"SOURCE_DATE_EPOCH={epoch}"),
            *("systemd-repart", "--empty=create", "--size=auto", "--dry-run=no", "--offline=yes", "--no-pager"),
            *("--definitions", definitions, "--copy-source", source, "--seed", str(ROOT_UUID), "--json=off"),
            *("--split=yes", disk),
        ],
        what="writing the peer's disk",
        binds=[folder],
    )
    (source / "root").rename(tree)
    sdk_run(ws, ["fallocate", "--dig-holes", disk], what="making the peer's disk sparse", binds=[folder])
    (root,) = folder.glob("peer.root.raw")
    pack = f"zstd -q -{ROOT_ZSTD} -T0 -c '{root}' | wc -c"
    out = sdk_run(ws, ["sh", "-c", pack], what="compressing the root", binds=[folder])
    root.unlink()
    return int(out)
