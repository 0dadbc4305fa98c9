"""What an image was made of: each source file and a digest of it, kept beside the image as `sources.json`.

Why: whether a machine runs what the working tree holds is then a matter of two small tables; neither the machine nor
the image has to be read. A file that only the table has was removed since; one that only the tree has is new.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

from orlop.built import SOURCES
from orlop.errors import Missing
from orlop.files import write_atomic
from orlop.image import runtime
from orlop.image.prune import walk

BUILDER = Path("orlop/image")  # this package, which decides as well what an image is


def made_of(root: Path) -> dict[str, str]:
    """Path → digest of every file an image of the repository `root` is made of, Debian's packages apart.

    Paths are relative to `root`; those of third parties' Python begin with the package's name. Errors as
    `runtime.ours`.
    """
    hashes = {}
    for name, path in runtime.sources(root / "orlop"):
        hashes[str(path.relative_to(root)) if path.is_relative_to(root / "orlop") else name] = digest(path)
    for top in (root / "os", root / BUILDER):
        for path in walk(top) if top.is_dir() else ():
            if path.is_symlink() or (path.is_file() and path.suffix != ".pyc"):
                hashes[str(path.relative_to(root))] = digest(path)
    return dict(sorted(hashes.items()))


def digest(path: Path) -> str:
    """Says of a file or link all that an image keeps of it: content, whether it can be run, target."""
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    is_program = bool(path.stat().st_mode & stat.S_IXUSR)
    return f"{'program' if is_program else 'file'} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def write(folder: Path, hashes: dict[str, str]) -> None:
    write_atomic(folder / SOURCES, json.dumps(hashes, indent=1) + "\n")


def read(folder: Path) -> dict[str, str]:
    """What `write` wrote for the image in `folder`. Raises Missing when nothing can be read there."""
    try:
        hashes = json.loads((folder / SOURCES).read_text())
    except (OSError, ValueError):
        hashes = None
    if not isinstance(hashes, dict):
        raise Missing(
            f"nothing says what image {folder.name} was made of: {folder / SOURCES} cannot be read",
            hint="it is from before that was kept: `orlop image build`, and a lab of the new image",
        )
    return {str(path): str(what) for path, what in hashes.items()}
