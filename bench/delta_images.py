"""Four images whose packages really differ, for `bench.deltas`.

    base      from the main suite alone: a point release as it came out
    patch     with all that came out since (updates, security), but the kernel of `base`
    kernel    `base` with the kernel that came out since
    all       with all that came out since

Built once by the image's own code, in `.orlop/bench/deltas`, and again when what decides an image changes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from orlop.built import MANIFEST, read_manifest
from orlop.errors import Missing
from orlop.files import made_beside, remove_tree, write_atomic
from orlop.image.build import input_key, make_image
from orlop.model.words.version import Version
from orlop.sdk.sources import KEYRING, SUITE, Sources, from_host
from orlop.sdk.tree import ensure
from orlop.steps import Steps
from orlop.workspace import Workspace

NAMES = ("base", "patch", "kernel", "all")
DAY = datetime(2026, 1, 1, tzinfo=UTC).date()
_PIN = "Package: {}\nPin: release n={}\nPin-Priority: 1001\n\n"
PINS = {
    "patch": _PIN.format("linux-image-*", SUITE),
    "kernel": _PIN.format("linux-image-*", f"{SUITE}-security") + _PIN.format("*", SUITE),
    "all": "",
}


def versions() -> dict[str, Version]:
    return {name: Version(DAY, n) for n, name in enumerate(NAMES, 1)}


def images(ws: Workspace, steps: Steps) -> dict[str, Path]:
    """The folder of each image. Raises Missing on a host that has no archive of Debian's configured."""
    sources = from_host()
    if sources is None:
        raise Missing("this host's apt names no archive of Debian's", hint="run it on a Debian host")
    ensure(ws, steps)
    top = ws.state / "bench/deltas"
    top.mkdir(parents=True, exist_ok=True)
    key = input_key(ws)
    return {name: _image(ws, steps, top, name, key, sources) for name in NAMES}


def _image(ws: Workspace, steps: Steps, top: Path, name: str, key: str, sources: Sources) -> Path:
    version = versions()[name]
    folder = top / str(version)
    if (folder / MANIFEST).is_file() and read_manifest(folder).inputs == key:
        return folder
    remove_tree(folder)
    overlay = top / f"apt-{name}"
    for path, text in _apt(name, sources).items():
        write_atomic(overlay / path, text)
    with steps.step(f"Building {name}"), made_beside(folder) as made:
        args = ("--sandbox-tree", overlay)
        make_image(ws, steps, made, version, key, packages_from=f"deltas-{name}", args=args)
    return folder


def _apt(name: str, sources: Sources) -> dict[str, str]:
    """What apt is given instead of the sources that images are made from."""
    if name == "base":
        text = f"Types: deb\nURIs: {sources.main}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
        return {"etc/apt/sources.list.d/mkosi.sources": text}
    return {"etc/apt/preferences.d/orlop": PINS[name]}
