"""Take out of the tree what nobody uses: an allow-list of executables, a list of paths, and the libraries left over.

Executables on PATH are allowed, not denied: a Debian update that brings a new program changes nothing here, and a
listed program that is gone fails the build. Libraries are kept when something that stays needs them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import remove_tree
from orlop.image.elf import LIBRARY_DIRS, Libraries, is_elf, link_target

IMAGE_USR = "BindReadOnlyPaths=/sysroot/usr:/usr"  # in a unit of the initrd: it runs programs of the image
PATH_DIRS = ("usr/bin", "usr/sbin")
# opened by name at run time, by the C library, OpenSSL or PAM, without a note that says so
OPENED_BY_NAME = ("libnss_*.so.*", "libgcc_s.so.1")


def read_list(path: Path) -> list[str]:
    """The words of a list file; `#` begins a comment."""
    return [word for line in path.read_text().splitlines() for word in line.split("#", 1)[0].split()]


def prune(tree: Path, lists: Path) -> None:
    """Remove from `tree` all that the lists in the folder `lists` do not keep. Raises BadInput for a wrong list."""
    for pattern in read_list(lists / "remove.list"):
        for path in sorted(tree.glob(pattern)):
            remove_tree(path)
    keep_executables(tree, set(read_list(lists / "executables.list")))
    for name in broken_units(tree):
        (tree / name).unlink()
    while gone := dangling_links(tree):
        for name in gone:
            (tree / name).unlink()
    remove_unused_libraries(tree)
    remove_empty_dirs(tree / "usr")


def remove_modules(tree: Path, patterns: Iterable[str]) -> None:
    """Remove the kernel modules, or whole folders of them, that `patterns` match and no pattern after a ! does."""
    words = list(patterns)
    for base in sorted(tree.glob("usr/lib/modules/*/kernel")):
        kept = {path for word in words if word.startswith("!") for path in base.glob(word[1:])}
        gone = {path for word in words if not word.startswith("!") for path in base.glob(word)}
        for path in sorted(gone - kept):
            remove_tree(path)


def executables(tree: Path) -> dict[str, Path]:
    """name → path of everything on PATH in the tree; /usr/bin comes before /usr/sbin."""
    programs: dict[str, Path] = {}
    for folder in PATH_DIRS:
        base = tree / folder
        for path in sorted(base.iterdir()) if base.is_dir() else ():
            programs.setdefault(path.name, path)
    return programs


def keep_executables(tree: Path, names: set[str]) -> None:
    missing = sorted(names - executables(tree).keys())
    if missing:
        raise BadInput(
            f"os/prune/executables.list names programs that no package brings: {', '.join(missing)}",
            hint="remove them from the list, or add their package to os/mkosi.conf",
        )
    kept = {str(path.relative_to(tree)) for name in names for path in _chain(tree, executables(tree)[name])}
    for folder in PATH_DIRS:
        for path in sorted((tree / folder).iterdir()):
            if path.name not in names and str(path.relative_to(tree)) not in kept:
                remove_tree(path)


def _chain(tree: Path, path: Path) -> Iterator[Path]:
    """`path` and, while it is a link, what it points to."""
    yield path
    while path.is_symlink():
        path = tree / link_target(tree, str(path.relative_to(tree)))
        yield path


def dangling_links(tree: Path) -> list[str]:
    """Links below /usr whose target inside the tree is gone (links to /run, /var, /proc… are the running system's)."""
    gone = []
    for path in walk(tree / "usr"):
        if path.is_symlink():
            target = path.readlink()
            full = tree / str(target).lstrip("/") if target.is_absolute() else path.parent / target
            inside = not target.is_absolute() or target.parts[1] in ("usr", "bin", "sbin", "lib", "lib64")
            if inside and str(target) != "/dev/null" and not os.path.lexists(full):
                gone.append(str(path.relative_to(tree)))
    return gone


def broken_units(tree: Path, image: Path | None = None) -> dict[str, str]:
    """Units (paths relative to `tree`) that would start a program that is not there, and that program.

    A unit of the initrd that sees the image's /usr in place of the initrd's finds its programs in the tree `image`. A
    unit with a root of its own is not looked at.
    """
    broken = {}
    for unit in sorted((tree / "usr/lib/systemd/system").glob("*.service")):
        if unit.is_symlink():
            continue
        lines = unit.read_text().splitlines()
        if any(line.startswith(("RootDirectory=", "RootImage=")) for line in lines):
            continue
        seen = image if image and IMAGE_USR in lines else tree
        for line in lines:
            key, _, value = line.partition("=")
            program = value.split()[0].lstrip("-@:+!|") if value.split() else ""
            if key in ("ExecStart", "ExecStartPre") and not value.startswith("-") and program:
                where = [program] if program.startswith("/") else [f"usr/bin/{program}", f"usr/sbin/{program}"]
                if not any(os.path.lexists(seen / w.lstrip("/")) for w in where) and "%" not in program:
                    broken[str(unit.relative_to(tree))] = program
    return broken


def remove_unused_libraries(tree: Path) -> None:
    """Remove the shared libraries in the library folders that nothing left in the tree needs."""
    folder = tree / LIBRARY_DIRS[0]
    candidates = {p for p in folder.iterdir() if ".so" in p.name and (p.is_file() or p.is_symlink())}
    opened = {p for pattern in OPENED_BY_NAME for p in folder.glob(pattern)}
    roots = [p for p in walk(tree / "usr") if p not in candidates and _is_program(p)]
    kept = Libraries(tree).closure((str(p.relative_to(tree)) for p in (*roots, *opened)), optional=True)
    for path in candidates:
        if str(path.relative_to(tree)) not in kept:
            path.unlink()


def remove_empty_dirs(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        if not os.listdir(folder) and Path(folder) != top:
            os.rmdir(folder)


def strip_setuid(tree: Path) -> None:
    """No file in the image gives its caller more rights than they have."""
    for path in walk(tree):
        info = path.lstat()
        if stat.S_ISREG(info.st_mode) and info.st_mode & (stat.S_ISUID | stat.S_ISGID):
            path.chmod(stat.S_IMODE(info.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))


def walk(top: Path) -> Iterator[Path]:
    """Every file, folder and link below `top`, sorted, links not followed."""
    for entry in sorted(os.scandir(top), key=lambda e: e.name):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))


def _is_program(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.suffix != ".ko" and is_elf(path)
