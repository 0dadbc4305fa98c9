"""Root trees of system containers, below /usr/lib/orlop: programs that are on nobody's PATH, and their libraries.

The libraries are hard links to the system's own, which the usr image stores once. Invariant: a tree has every library
that its programs are linked to, and the folders that systemd mounts on; it is read-only, so they must be there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from orlop.image.elf import Libraries
from orlop.model.cluster.names import STORE_STATE

ETCD_PLACE = "usr/lib/orlop/etcd"
ETCD = "usr/bin/etcd"
ETCD_PACKAGE = "etcd-server"
EMPTY_DIRS = (
    *("dev", "etc", "proc", "run", "sys", "tmp"),
    *("var/cache", "var/lib", "var/log", "var/tmp"),
)
LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


def finish_etcd(tree: Path) -> None:
    """What its tree needs besides etcd, which was moved there, once it is known which libraries stay."""
    place = tree / ETCD_PLACE
    link_libraries(tree, place, [place / ETCD])
    make_folders(place, (*EMPTY_DIRS, STORE_STATE.lstrip("/")))


def link_libraries(tree: Path, place: Path, programs: Iterable[Path], opened: Iterable[str] = ()) -> None:
    """Give `place` its own names for the libraries of `programs`, files in it, and for `opened`, paths in `tree`."""
    own = {str(program.relative_to(tree)) for program in programs}
    for path in sorted(Libraries(tree).closure(own | set(opened), optional=False) - own):
        linked = place / path
        linked.parent.mkdir(parents=True, exist_ok=True)
        if (tree / path).is_symlink():
            linked.symlink_to((tree / path).readlink())
        else:
            os.link(tree / path, linked)


def make_folders(place: Path, names: Iterable[str] = EMPTY_DIRS) -> None:
    for name in names:
        (place / name).mkdir(parents=True, exist_ok=True)
    for name, target in LINKS.items():
        (place / name).symlink_to(target)
