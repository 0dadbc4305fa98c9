"""Our own small initrd: the listed programs, the libraries they need, the listed kernel modules, and a few files.

`os/initrd/files.list` says what goes in (paths and globs below the image's root, `module NAME`, `library NAME` for what
is opened at run time); `os/initrd/tree` is laid on top. Made from the image's own tree, so that both run the same code.
Modules are stored uncompressed: the archive is compressed as a whole, and the machine unpacks them once.
"""

from __future__ import annotations

import lzma
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orlop.errors import BadInput
from orlop.image.elf import Libraries, canonical
from orlop.image.factory import initrd_release
from orlop.image.prune import broken_units, remove_modules, walk
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

TOP_DIRS = ("dev", "etc", "proc", "run", "sys", "sysroot", "sysusr", "tmp", "var", "var/tmp")
ZSTD = ("-15", "-T0")
TEXTS = ("modules.alias", "modules.symbols")  # kmod reads the indexes made of them, which are beside them


@dataclass(frozen=True)
class Wanted:
    """A parsed files.list."""

    paths: tuple[str, ...]
    modules: tuple[str, ...]
    libraries: tuple[str, ...]


def parse_list(text: str) -> Wanted:
    """Raises BadInput for a line with an unknown keyword or too many words."""
    paths, modules, libraries = [], [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        match words:
            case []:
                pass
            case ["module", name]:
                modules.append(name.replace("-", "_"))
            case ["library", name]:
                libraries.append(name)
            case [path] if not path.startswith("/"):
                paths.append(path)
            case _:
                raise BadInput(f"os/initrd/files.list:{number}: cannot read {line.strip()!r}")
    return Wanted(tuple(paths), tuple(modules), tuple(libraries))


def make_initrd(ws: Workspace, tree: Path, kernel: str, out: Path, *, epoch: int, work: Path) -> None:
    """Write the initrd for `kernel` (its release string) from `tree` to `out`; `work` is a folder to build in."""
    wanted = parse_list((ws.os_tree / "initrd" / "files.list").read_text())
    stage = work / "initrd"
    stage.mkdir()
    for name in TOP_DIRS:
        (stage / name).mkdir()
    for name in ("bin", "sbin", "lib", "lib64"):
        (stage / name).symlink_to(f"usr/{name}")
    for path in sorted(program_files(tree, wanted)):
        _copy(tree, stage, path)
    _copy_modules(ws, tree, stage, kernel, wanted.modules)
    shutil.copytree(ws.os_tree / "initrd" / "tree", stage, symlinks=True, dirs_exist_ok=True)
    (stage / "usr/lib/os-release").write_text(initrd_release())
    if broken := broken_units(stage, tree):
        raise BadInput(f"os/initrd/files.list: {', '.join(f'{unit} starts {exe}' for unit, exe in broken.items())}")
    (stage / "init").symlink_to("usr/lib/systemd/systemd")
    for link, target in (("etc/initrd-release", "../usr/lib/os-release"), ("etc/os-release", "../usr/lib/os-release")):
        (stage / link).symlink_to(target)
    (stage / "usr/lib/systemd/system/default.target").symlink_to("initrd.target")
    (stage / "sysroot").chmod(0o755)
    set_times(stage, epoch)
    script = (
        "find . -mindepth 1 -print0 | LC_ALL=C sort -z | "
        "cpio -0 -o -H newc --quiet --reproducible -R 0:0 | zstd -q {} -o {}"
    )
    sdk_run(
        ws,
        ["sh", "-c", f"cd '{stage}' && " + script.format(" ".join(ZSTD), f"'{out}'")],
        what="packing the initrd",
        binds=[work, out.parent],
    )


def program_files(tree: Path, wanted: Wanted) -> set[str]:
    """The listed paths with all they need. Raises BadInput for a pattern that matches nothing."""
    libraries = Libraries(tree)
    files: set[str] = set()
    missing = []
    for pattern in wanted.paths:
        matches = [str(p.relative_to(tree)) for p in tree.glob(pattern)]
        files.update(matches)
        if not matches:
            missing.append(pattern)
    if missing:
        raise BadInput(f"os/initrd/files.list: not in the image: {', '.join(missing)}")
    for soname in wanted.libraries:
        lib = libraries.find(soname)
        if lib is None:
            raise BadInput(f"os/initrd/files.list: library {soname} is not in the image")
        files.add(lib)
    return libraries.closure(files, optional=False)


def _copy(tree: Path, stage: Path, path: str) -> None:
    src, dst = tree / path, stage / canonical(path)
    dst.parent.mkdir(parents=True, exist_ok=True)
    if src.is_dir() and not src.is_symlink():
        dst.mkdir(exist_ok=True)
    else:
        shutil.copy2(src, dst, follow_symlinks=False)


def module_closure(deps: str, names: Iterable[str], builtin: str = "") -> list[str]:
    """Paths (as in modules.dep) of the modules `names` and of what they depend on, sorted.

    `deps` and `builtin` are the texts of modules.dep and modules.builtin. A name that is built in needs nothing; one
    that does not exist raises BadInput.
    """
    table: dict[str, list[str]] = {}
    by_name: dict[str, str] = {}
    for line in deps.splitlines():
        path, _, rest = line.partition(":")
        table[path] = rest.split()
        by_name[module_name(path)] = path
    built_in = {module_name(line) for line in builtin.splitlines()}
    modules: set[str] = set()
    for name in names:
        if name in built_in:
            continue
        if name not in by_name:
            raise BadInput(f"os/initrd/files.list: this kernel has no module {name}")
        modules.update([by_name[name], *table[by_name[name]]])
    return sorted(modules)


def module_name(path: str) -> str:
    return path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_")


def unpack_modules(ws: Workspace, tree: Path, kernel: str, unwanted: Sequence[str]) -> None:
    """Store the tree's modules uncompressed, without the `unwanted`, which are what os/prune/modules.list says.

    Uncompressed, because /usr is compressed as a whole, and deltas between releases stay small. Raises BadInput when a
    module that is left needs an unwanted one.
    """
    base = tree / "usr/lib/modules" / kernel
    for path in walk(base):
        if path.name.endswith(".ko.xz"):
            path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
            path.unlink()
    run_depmod(ws, tree, kernel)
    remove_modules(tree, unwanted)
    left = {str(path.relative_to(base)) for path in walk(base) if path.suffix == ".ko"}
    if lost := without_what_they_need((base / "modules.dep").read_text(), left):
        raise BadInput(
            f"os/prune/modules.list removes what is needed: {', '.join(f'{m} by {who}' for who, m in lost.items())}",
            hint="remove both, or keep both: a line that begins with ! keeps a module",
        )
    run_depmod(ws, tree, kernel)
    for name in TEXTS:
        (base / name).unlink()


def without_what_they_need(deps: str, left: Collection[str]) -> dict[str, str]:
    """module → one that it depends on, where only the first is `left`. `deps` is the text of modules.dep."""
    table = (line.partition(":") for line in deps.splitlines())
    return {name: need for name, _, needs in table if name in left for need in needs.split() if need not in left}


def run_depmod(ws: Workspace, tree: Path, kernel: str) -> None:
    sdk_run(ws, ["depmod", "-b", tree, kernel], what="indexing kernel modules", binds=[tree])


def _copy_modules(ws: Workspace, tree: Path, stage: Path, kernel: str, names: Iterable[str]) -> None:
    base = Path("usr/lib/modules") / kernel
    deps = (tree / base / "modules.dep").read_text()
    builtin = (tree / base / "modules.builtin").read_text()
    for path in module_closure(deps, names, builtin):
        _copy(tree, stage, str(base / path))
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        _copy(tree, stage, str(base / name))
    run_depmod(ws, stage, kernel)


def set_times(top: Path, epoch: int) -> None:
    for path in (*walk(top), top):
        os.utime(path, (epoch, epoch), follow_symlinks=False)
