"""Which shared libraries a program needs: the dynamic section, and the notes systemd leaves about what it dlopens.

Paths are relative to the tree's root, as it would be seen from inside. Source of the note format: uapi-group.org,
"ELF dlopen metadata".
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection
from elftools.elf.segments import InterpSegment

from orlop.errors import BadInput
from orlop.model.words.arch import BUILT

LIBRARY_DIRS = (f"usr/lib/{BUILT.libraries}", "usr/lib")
_DLOPEN_TYPE = 0x407C0C0A


@dataclass(frozen=True)
class Needs:
    """`needed`: sonames the loader must find; `optional`: sonames the program may open later; `runpath`: where else."""

    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    interpreter: str = ""


def is_elf(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(4) == b"\x7fELF"


def read_needs(path: Path) -> Needs:
    """What the ELF file `path` asks for; nothing for a static program or an object that is not dynamic."""
    needed: list[str] = []
    runpath: list[str] = []
    optional: list[str] = []
    interpreter = ""
    try:
        with path.open("rb") as f:
            elf = ELFFile(f)
            for segment in elf.iter_segments("PT_INTERP"):
                if isinstance(segment, InterpSegment):
                    interpreter = segment.get_interp_name().lstrip("/")
            for section in elf.iter_sections():
                if isinstance(section, DynamicSection):
                    tag: Any  # its attributes are named by the kind of tag
                    for tag in section.iter_tags():
                        if tag.entry.d_tag == "DT_NEEDED":
                            needed.append(tag.needed)
                        elif tag.entry.d_tag == "DT_RUNPATH":
                            runpath += [p.lstrip("/") for p in tag.runpath.split(":")]
                elif section.name == ".note.dlopen" and isinstance(section, NoteSection):
                    optional += _dlopen_names(section.data())
    except ELFError:
        return Needs()
    return Needs(tuple(needed), tuple(optional), tuple(runpath), interpreter)


def _dlopen_names(raw: bytes) -> list[str]:
    names: list[str] = []
    at = 0
    while at + 12 <= len(raw):
        name_size, data_size, kind = (int.from_bytes(raw[at + i : at + i + 4], "little") for i in (0, 4, 8))
        start = at + 12 + (name_size + 3) // 4 * 4
        if kind == _DLOPEN_TYPE:
            text = raw[start : start + data_size].rstrip(b"\0").decode()
            for entry in json.loads(text):
                names += entry["soname"]
        at = start + (data_size + 3) // 4 * 4
    return names


@dataclass
class Libraries:
    """Finds libraries in the tree `root` and remembers what each file needs."""

    root: Path
    _known: dict[str, Needs] = field(default_factory=dict)

    def needs(self, path: str) -> Needs:
        if path not in self._known:
            self._known[path] = read_needs(self.root / path)
        return self._known[path]

    def find(self, soname: str, runpath: Iterable[str] = ()) -> str | None:
        """The path of the library `soname`, or None."""
        for folder in (*runpath, *LIBRARY_DIRS):
            if (self.root / folder / soname).exists():
                return f"{folder}/{soname}"
        return None

    def closure(self, paths: Iterable[str], *, optional: bool) -> set[str]:
        """`paths` and every library they lead to, links and their targets both. `optional`: dlopen notes too.

        Raises BadInput naming the program when a needed library is not in the tree.
        """
        todo = list(paths)
        reached: set[str] = set()
        while todo:
            path = todo.pop()
            if path in reached:
                continue
            reached.add(path)
            full = self.root / path
            if full.is_symlink():
                todo.append(link_target(self.root, path))
                continue
            if not full.is_file() or not is_elf(full):
                continue
            needs = self.needs(path)
            if needs.interpreter:
                todo.append(canonical(needs.interpreter))
            for soname in needs.needed:
                # its own folder last: a private library is already loaded there by the program that brought it
                lib = self.find(soname, (*needs.runpath, *LIBRARY_DIRS, str(Path(path).parent)))
                if lib is None:
                    raise BadInput(
                        f"{path} needs {soname}, which is not in the tree",
                        hint="keep it (os/prune/remove.list), or let the program go (os/prune/executables.list)",
                    )
                todo.append(lib)
            if optional:
                todo += [lib for s in needs.optional if (lib := self.find(s, needs.runpath))]
        return reached


def canonical(path: str) -> str:
    """A path in a merged-/usr tree: `lib64/x` is `usr/lib64/x`."""
    first = path.split("/", 1)[0]
    return f"usr/{path}" if first in ("bin", "sbin", "lib", "lib64") else path


def link_target(root: Path, path: str) -> str:
    """Where the link `path` points, relative to the root. Raises ValueError when it points out of the tree."""
    target = (root / path).readlink()
    joined = target if target.is_absolute() else Path("/") / Path(path).parent / target
    parts: list[str] = []
    for part in joined.parts[1:]:
        if part == "..":
            if not parts:
                raise ValueError(f"{path} points out of the tree")
            parts.pop()
        else:
            parts.append(part)
    return canonical("/".join(parts))
