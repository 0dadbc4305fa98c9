"""A small tree of Debian packages, with dpkg's own database, as mkosi leaves it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

ELF = Path("/bin/true").resolve()
COPYRIGHT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: x\n"


def make_tree(top: Path) -> Path:
    (top / "var/lib/dpkg/info").mkdir(parents=True)
    (top / "usr/lib").mkdir(parents=True)
    (top / "usr/lib/os-release").write_text('ID=debian\nVERSION_CODENAME="trixie"\n')
    return top


def add(
    tree: Path, name: str, files: Sequence[str], *, licence: str = "Expat", more: str = "", version: str = "1-1"
) -> None:
    """A package whose files are programs, or texts when they end so."""
    with (tree / "var/lib/dpkg/status").open("a") as f:
        f.write(f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{more}\n")
    doc = f"usr/share/doc/{name}/copyright"
    for path in (*files, doc):
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path == doc:
            place.write_text(f"{COPYRIGHT}License: {licence}\n")
        elif place.suffix in (".py", ".conf"):
            place.write_text(f"# {path}\n")
        else:
            shutil.copyfile(ELF, place)
    listing = tree / f"var/lib/dpkg/info/{name}:amd64.list"
    listing.write_text("".join(f"/{path}\n" for path in (".", "usr", *files, doc)))
