"""What dpkg's database in a tree says: which packages are there, what they were built from, and whose each file is.

It is read before anything is pruned: afterwards the copyright files are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debian.deb822 import Deb822, PkgRelation

from orlop.errors import BadInput
from orlop.image.elf import canonical
from orlop.model.contents.contents import Component, Source

DPKG = "var/lib/dpkg"
DOC = "usr/share/doc"
# Debian's fields for sources whose code is in a package's programs: by policy to keep their licence, and by habit of
# languages that link everything into one program, to know what to build again
BUILT_FROM = ("Built-Using", "Static-Built-Using", "X-Cargo-Built-Using")


@dataclass(frozen=True)
class Installed:
    """`components`: by name, their licences not yet known; `owners`: path of a file, folder or link → package;
    `copyrights`: package → the text of its copyright file, where it has one.
    """

    components: Mapping[str, Component]
    owners: Mapping[str, str]
    copyrights: Mapping[str, str]


def installed(tree: Path) -> Installed:
    """Raises BadInput when the tree has no database, or its os-release names no release of Debian."""
    database = tree / DPKG
    try:
        with (database / "status").open(encoding="utf-8") as f:
            paragraphs = [p for p in Deb822.iter_paragraphs(f) if p.get("Status", "").endswith(" installed")]
    except OSError as e:
        raise BadInput(f"{database / 'status'} cannot be read: {e.strerror}") from None
    distro = code_name(tree)
    components = {p["Package"]: _component(p, distro) for p in paragraphs}
    owners: dict[str, str] = {}
    for listing in sorted((database / "info").glob("*.list")):
        name = listing.stem.partition(":")[0]
        if name in components:
            lines = listing.read_text(encoding="utf-8").splitlines()
            owners.update((canonical(line.strip("/")), name) for line in lines)
    copyrights = {}
    for name in components:
        path = tree / DOC / name / "copyright"
        if path.is_file():
            copyrights[name] = path.read_text(encoding="utf-8", errors="replace")
    return Installed(components, owners, copyrights)


def code_name(tree: Path) -> str:
    """Debian's code name for the release that the tree is of."""
    lines = (tree / "usr/lib/os-release").read_text(encoding="utf-8").splitlines()
    values = dict(line.partition("=")[::2] for line in lines)
    name = values.get("VERSION_CODENAME", "").strip('"')
    if values.get("ID") != "debian" or not name:
        raise BadInput(f"{tree}/usr/lib/os-release names no release of Debian")
    return name


def _component(paragraph: Mapping[str, Any], distro: str) -> Component:
    name, version = paragraph["Package"], paragraph["Version"]
    source, _, own = paragraph.get("Source", name).partition(" ")
    return Component(
        "deb",
        name,
        version,
        "",
        arch=paragraph["Architecture"],
        distro=distro,
        source=Source(source, own.strip("()") or version),
        built_from=tuple(sorted({s for key in BUILT_FROM for s in _sources(paragraph.get(key, ""))})),
    )


def _sources(value: str) -> list[Source]:
    """The sources of a field like `golang-1.24 (= 1.24.4-1), conmon (= 2.1.12-4)`."""
    found = []
    for (relation,) in PkgRelation.parse_relations(value) if value else ():
        if relation["version"]:
            found.append(Source(relation["name"], relation["version"][1]))
    return found
