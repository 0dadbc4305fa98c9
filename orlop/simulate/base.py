"""The /usr of an image as a folder: what the scratch root starts from.

Lifetime: `.orlop/cache/simulate/VERSION-HASH`, one an image, whole or not there; made when an image is simulated for
the first time. Folders of images that are no longer there are removed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import locked, made_beside, remove_tree
from orlop.image.build import find, manifest, versions
from orlop.image.inspect import sha256
from orlop.image.seal import CMDLINE
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace


@dataclass(frozen=True)
class Base:
    """`usr`: the image's /usr; `systemd`: the version of the systemd in it; `arguments`: of its kernel."""

    version: str
    usr: Path
    systemd: str
    arguments: tuple[str, ...] = ()


def unpacked(ws: Workspace, steps: Steps, version: str | None) -> Base:
    """The /usr of the image `version`, or of the latest. Raises Missing, BadInput or Busy."""
    folder = find(ws, version).resolve()
    about = manifest(folder)
    raw = folder / f"orlop_{folder.name}.usr.raw"
    found = ws.cache / "simulate" / f"{folder.name}-{str(about.get('roothash', ''))[:16]}"
    if not found.is_dir():
        with locked(ws.cache / "simulate.lock", "the simulation's copy of the image"):
            _drop_others(ws, found)
            with steps.step(f"Unpacking image {folder.name}"):
                _unpack(ws, raw, found, about)
    cmdline = found / CMDLINE
    arguments = cmdline.read_text().split() if cmdline.exists() else []
    return Base(folder.name, found / "usr", _systemd(about), tuple(arguments))


def _unpack(ws: Workspace, raw: Path, found: Path, about: dict[str, object]) -> None:
    sums = about.get("sha256")
    if not raw.is_file() or not isinstance(sums, dict) or sha256(raw) != sums.get(raw.name):
        raise BadInput(
            f"the image in {raw.parent} is damaged: {raw.name} is not what was built",
            hint=f"orlop image rm {raw.parent.name}, then orlop image build",
        )
    with made_beside(found) as work:
        argv: list[str | Path] = [
            "fsck.erofs",
            f"--extract={work / 'usr'}",
            "--no-preserve-owner",
            "--preserve-perms",
            raw,
        ]
        sdk_run(ws, argv, what="unpacking the image", binds=[work, raw.parent])


def _drop_others(ws: Workspace, found: Path) -> None:
    have = {str(v) for v in versions(ws)}
    for other in found.parent.glob("[0-9]*-*"):
        name = other.name.partition("-")[0]
        if name not in have or (name == found.name.partition("-")[0] and other != found):
            remove_tree(other)


def _systemd(about: dict[str, object]) -> str:
    packages = about.get("packages")
    for package in packages if isinstance(packages, list) else ():
        if package["name"] == "systemd":
            return str(package["version"]).partition("-")[0]
    return "257"
