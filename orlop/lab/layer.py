"""In what a working tree differs from an image, and the archive that makes a machine of that image what the tree is.

What an image was made of is kept beside it (`orlop.image.sources`), so neither it nor the machine is read.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from orlop.built import read_manifest
from orlop.errors import BadInput
from orlop.image import runtime, sources
from orlop.image.prune import walk
from orlop.lab.affected import GONE, USR, can_be_pushed, differences, unseen
from orlop.workspace import Workspace


@dataclass(frozen=True)
class Tree:
    """A working tree: `root` has the folders os and orlop. It is read once."""

    root: Path

    @cached_property
    def files(self) -> Mapping[str, str]:
        return sources.made_of(self.root)

    @cached_property
    def texts(self) -> Mapping[str, str]:
        ours = [path for path in self.files if path.startswith(USR) and not (self.root / path).is_symlink()]
        return {path: (self.root / path).read_text(errors="replace") for path in ours}

    def reach(self, program: str) -> frozenset[str]:
        """The files of what `python -m program` imports."""
        top = self.root / "orlop"
        main = f"{program}.__main__"
        return self._files([main if runtime.module_file(top, main) else program])

    @cached_property
    def used(self) -> frozenset[str]:
        """The files of all programs but the configuration stage, which runs in the initrd alone."""
        top = self.root / "orlop"
        names = (runtime.module_name(top, path) for path in (top / "node").rglob("*.py"))
        return self._files([name for name in names if not f"{name}.".startswith("orlop.node.config.")])

    def _files(self, names: list[str]) -> frozenset[str]:
        modules = runtime.reached(self.root / "orlop", names).ours.values()
        return frozenset(str(path.relative_to(self.root)) for path in modules)


@dataclass(frozen=True)
class Layer:
    """What a machine of one image is sent. `files`: path in the tree → digest, as in `differences`."""

    build_id: str
    files: Mapping[str, str]
    needs_image: tuple[str, ...]
    archive: bytes


def make_layer(ws: Workspace, tree: Tree, image: Path, build_id: str) -> Layer:
    """What has to lie over `image`, a folder of .orlop/images. Errors as `Push.to`."""
    differs = differences(tree.files, sources.read(image))
    files = {path: what for path, what in differs.items() if can_be_pushed(path)}
    need_python(read_manifest(image).about, tree.root, [path for path in files if path.startswith("orlop/")])
    at_boot = {*unseen(files, tree.used)} - _gone(files)
    needs_image = sorted(({*differs} - {*files}) | at_boot)
    with tempfile.TemporaryDirectory(prefix="push-", dir=ws.state) as scratch:
        folder = Path(scratch) / "layer"
        folder.mkdir()
        _fill(ws, tree.root, files, folder)
        return Layer(build_id, files, tuple(needs_image), pack(folder, files))


def _fill(ws: Workspace, root: Path, files: Mapping[str, str], folder: Path) -> None:
    there = [path for path in files if files[path] != GONE]
    modules = [path for path in there if path.startswith("orlop/")]
    if modules:
        runtime.install_ours(ws, root, modules, folder)
    for path in there:
        if path.startswith(USR):
            target = folder / on_machine(path)[0]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, target, follow_symlinks=False)


def _gone(files: Mapping[str, str]) -> set[str]:
    return {path for path, what in files.items() if what == GONE}


def on_machine(path: str) -> tuple[str, ...]:
    """Where a file of the tree is on a machine, below /."""
    return (f"usr/{path.removeprefix(USR)}",) if path.startswith(USR) else runtime.stored(path)


def pack(folder: Path, files: Mapping[str, str]) -> bytes:
    """The archive of a layer: what is in `folder`, and for each file that is gone a mark by which overlayfs hides it, a
    character device 0:0. `folder` need not hold anything.
    """
    out = io.BytesIO()
    there = {str(path.relative_to(folder)): path for path in walk(folder)}
    hidden = [place for path in sorted(_gone(files)) for place in on_machine(path)]
    marks = [place for place in hidden if not any(place.startswith(f"{path}/") for path in _leaves(there))]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        points = "".join(f"{point}\n" for point in sorted({point_of(path) for path in (*_leaves(there), *marks)}))
        for name, text in (("points", points), ("files.json", json.dumps(dict(files)))):
            info = _info(name, tarfile.REGTYPE, 0o644)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for name in sorted({str(up) for place in (*there, *marks) for up in Path("layer", place).parents} - {"."}):
            archive.addfile(_info(name, tarfile.DIRTYPE, 0o755))
        for name in _leaves(there):
            _add(archive, f"layer/{name}", there[name])
        for name in marks:  # tar makes it as any other device; numbers are 0:0 when nothing is said
            archive.addfile(_info(f"layer/{name}", tarfile.CHRTYPE, 0o600))
    return out.getvalue()


def _leaves(there: Mapping[str, Path]) -> list[str]:
    """All but the folders."""
    return [name for name, path in there.items() if path.is_symlink() or not path.is_dir()]


def _info(name: str, kind: bytes, mode: int, mtime: float | None = None) -> tarfile.TarInfo:
    """Of root, and made now if not said otherwise."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, int(mtime or time.time())
    return info


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    if path.is_symlink():
        info = _info(name, tarfile.SYMTYPE, 0o777)
        info.linkname = str(path.readlink())
        archive.addfile(info)
        return
    there = path.stat()
    # the source's own time: systemd takes a unit of another time for one that it has to read anew
    info = _info(name, tarfile.REGTYPE, 0o755 if there.st_mode & 0o100 else 0o644, there.st_mtime)
    info.size = there.st_size
    with path.open("rb") as f:
        archive.addfile(info, f)


def point_of(place: str) -> str:
    """Over which folder, below /usr, the overlay with a file is mounted: as deep as /usr/lib/orlop, and never /usr
    itself, which stays what the machine judges its health and its updates by.
    """
    folders = place.split("/")[1:-1]
    return "/".join(folders[:2] if folders[0] in ("lib", "share") else folders[:1])


def need_python(about: Mapping[str, object], root: Path, changed: Collection[str]) -> None:
    """Raise BadInput unless the image's private Python has what the modules `changed` import."""
    python = about.get("runtime")
    version = str(python.get("version")) if isinstance(python, dict) else "none"
    wanted = runtime.PYTHON.rpartition("python")[2]
    has = set(python.get("modules", ())) if isinstance(python, dict) else set()
    hint = "build an image of this tree and make a lab of it: `orlop image build`, `orlop lab up`"
    if version.rpartition(".")[0] != wanted:
        raise BadInput(f"the image's programs run in Python {version}, the tree's in {wanted}", hint=hint)
    names = {name for path in changed if (root / path).is_file() for name in runtime.imports((root / path).read_text())}
    lacking = sorted(name for name in names if not name.startswith("orlop.") and name != "orlop" and _lacks(name, has))
    if lacking:
        raise BadInput(f"the image's private Python has no {', '.join(lacking)}, which the tree imports", hint=hint)


def _lacks(name: str, has: Collection[str]) -> bool:
    """Whether `name` is a module that is not in `has`; it may be a name in a module."""
    parent = name.rpartition(".")[0]
    if name in has:
        return False
    if parent not in has:
        return not parent or _lacks(parent, has)
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is not a package
        return False
