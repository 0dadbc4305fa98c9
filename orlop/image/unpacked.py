"""The /usr of an image as a folder: what a simulated machine's root starts from, and a container machine's where the
image cannot be mounted.

Lifetime: `.orlop/cache/simulate/VERSION-HASH`, one an image, whole or not there; made when it is first asked for.
Folders of images that are no longer there are removed then. Who asks while another process makes it waits for it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from orlop.built import BuiltImage, damaged, find, versions
from orlop.errors import OrlopError
from orlop.files import locked, made_beside, remove_tree
from orlop.image.inspect import sha256
from orlop.image.seal import CMDLINE
from orlop.processes import run
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

UNPACK_SECONDS = 300  # longer than any unpacking takes: 6 s on two cores


@dataclass(frozen=True)
class Base:
    """`usr`: the image's /usr; `systemd`: the version of the systemd in it; `arguments`: of its kernel."""

    version: str
    usr: Path
    systemd: str
    arguments: tuple[str, ...] = ()


def can_mount(usr: Path) -> bool:
    """Whether this process can mount the image's /usr as it is: by trying, in a mount namespace that ends with it."""
    with tempfile.TemporaryDirectory(prefix="orlop-mount-", dir="/tmp") as folder:
        argv: list[str | Path] = ["unshare", "--mount", "mount", "-n", "-t", "erofs", "-o", "ro,loop", usr, folder]
        try:
            run(argv, what="trying to mount the image", timeout=30)
        except OrlopError:
            return False
    return True


def unpacked(ws: Workspace, steps: Steps, version: str | None) -> Base:
    """The /usr of the image `version`, or of the latest. Raises Missing, BadInput or Busy."""
    image = BuiltImage.read(find(ws, version).resolve())
    folder = ws.cache / "simulate" / f"{image.version}-{image.root_hash[:16]}"
    if not folder.is_dir():
        with locked(ws.cache / "simulate.lock", "the simulation's copy of the image", wait=UNPACK_SECONDS):
            _drop_others(ws, folder)
            if folder.is_dir():
                return _described(image, folder)
            with steps.step(f"Unpacking image {image.version}"):
                _unpack(ws, image, folder)
    return _described(image, folder)


def _described(image: BuiltImage, folder: Path) -> Base:
    cmdline = folder / CMDLINE
    arguments = cmdline.read_text().split() if cmdline.exists() else []
    return Base(str(image.version), folder / "usr", _systemd(image), tuple(arguments))


def _unpack(ws: Workspace, image: BuiltImage, folder: Path) -> None:
    raw = image.files.usr
    if not raw.is_file() or sha256(raw) != image.manifest.sum_of(raw):
        raise damaged(image.folder, f"{raw.name} is not what was built")
    with made_beside(folder) as work:
        argv: list[str | Path] = [
            "fsck.erofs",
            f"--extract={work / 'usr'}",
            "--no-preserve-owner",
            "--preserve-perms",
            raw,
        ]
        sdk_run(ws, argv, what="unpacking the image", binds=[work, raw.parent])


def _drop_others(ws: Workspace, current: Path) -> None:
    have = {str(v) for v in versions(ws)}
    for other in current.parent.glob("[0-9]*-*"):
        name = other.name.partition("-")[0]
        if name not in have or (name == current.name.partition("-")[0] and other != current):
            remove_tree(other)


def _systemd(image: BuiltImage) -> str:
    """The upstream version of the image's systemd."""
    version = dict(image.manifest.packages).get("systemd")
    if version is None:
        raise damaged(image.folder, "it has no systemd")
    return version.partition("-")[0]
