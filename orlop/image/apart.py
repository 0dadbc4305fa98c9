"""A library that `ip` and `ss` need and that process 1 must not find.

systemd opens libbpf when it is there, and then has the kernel verify programs for RestrictNetworkInterfaces= and
SocketBindAllow=, which nothing here uses, at each boot before it does anything else (ADR 0003). iproute2 is linked to
the same library. So it gets another name, and the programs that are linked to it ask for that: the names are of one
length, and stand once in a program's table of strings.
"""

from __future__ import annotations

from pathlib import Path

from elftools.elf.elffile import ELFFile

from orlop.errors import BadInput
from orlop.image.elf import LIBRARY_DIRS, is_elf, read_needs
from orlop.image.prune import PATH_DIRS

NAME = "libbpf.so.1"
OWN_NAME = "libbpf.so.x"


def set_apart(tree: Path) -> None:
    """Raises BadInput for a program whose file is another than expected."""
    link = tree / LIBRARY_DIRS[0] / NAME
    if not link.is_symlink():
        return  # no package brings it any more
    link.rename(link.with_name(OWN_NAME))
    for folder in PATH_DIRS:
        for path in sorted((tree / folder).iterdir()):
            if path.is_file() and not path.is_symlink() and is_elf(path) and NAME in read_needs(path).needed:
                ask_for(path, NAME, OWN_NAME)


def ask_for(program: Path, old: str, new: str) -> None:
    """Let `program` need the library `new` where it needed `old`. One string names it, in what is needed and in which
    versions of its symbols are. Raises BadInput when that is not so.
    """
    assert len(old) == len(new)
    with program.open("rb+") as f:
        section = ELFFile(f).get_section_by_name(".dynstr")
        wanted = b"\0" + old.encode() + b"\0"
        if section is None or section.data().count(wanted) != 1:
            raise BadInput(f"{program.name} does not name {old} once in its table of strings")
        f.seek(section["sh_offset"] + section.data().index(wanted) + 1)
        f.write(new.encode())
