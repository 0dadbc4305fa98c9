"""Write an image's index beside its artifacts: `orlop_<version>.index.json`.

The index is made from the finished files, read once each, and from what the image carries: the same files always give
the same index. See `orlop.model.release.index` for what it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from orlop.errors import Missing
from orlop.files import write_atomic
from orlop.model.release.index import BLOCK, PARTS, Blob, Index, Part, Patch, encode, file_name, index_name
from orlop.model.words.version import Version

_READ = 256 * BLOCK


def make_index(
    folder: Path, version: Version, root_hash: str, patches: Sequence[Patch] = (), *, etcd: str = ""
) -> Index:
    """The index of the image in `folder`. Raises Missing when an artifact is not there."""
    usr, verity, uki = (read_part(folder / file_name(version, name)) for name in PARTS)
    return Index(version, root_hash, usr, verity, uki, tuple(patches), etcd)


def write_index(folder: Path, index: Index) -> Path:
    """Put the index beside the artifacts in `folder`, and return its path."""
    path = folder / index_name(index.version)
    write_atomic(path, encode(index))
    return path


def read_part(path: Path) -> Part:
    """Hash the file: as a whole, and each of its blocks."""
    whole = hashlib.sha256()
    digests = bytearray()
    try:
        with path.open("rb", buffering=0) as f:
            while piece := f.read(_READ):
                whole.update(piece)
                for at in range(0, len(piece), BLOCK):
                    digests += hashlib.sha256(piece[at : at + BLOCK]).digest()
    except FileNotFoundError:
        raise Missing(f"the image has no {path.name}", hint="build it again: orlop image build") from None
    return Part(Blob(whole.hexdigest(), path.stat().st_size), bytes(digests))
