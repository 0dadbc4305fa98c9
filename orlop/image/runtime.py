"""The private Python that node programs run in: a root tree of its own at /usr/lib/orlop/runtime, not on PATH.

It holds the interpreter, our modules for the node, and of the standard library and of THIRD_PARTY just what those
import. It works in two ways: started from the host (or the initrd), where it finds its modules beside itself and its
shared libraries in the host's /usr/lib; and as the RootDirectory= of a system container, for which it has its own names
for the same libraries. Those are hard links, which the usr image stores once.

Invariant: what is in it follows from the sources of `orlop.node`. A module is there because an import statement leads
to it (`ours`, then the run of `imported.py`), or because LATE names it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orlop.errors import BadInput, Missing
from orlop.image.elf import Libraries
from orlop.image.prune import walk
from orlop.image.seal import EROFS
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

PLACE = "usr/lib/orlop/runtime"
PYTHON = "usr/bin/python3.13"
LIBRARY = "usr/lib/python3.13"
ENTRY = "orlop.node"
TOP = Path(__file__).parent.parent
IMPORTED = Path(__file__).with_name("imported.py")

# imported by the interpreter itself, or by a function of the standard library that node programs do reach
LATE = (
    *("encodings.utf_8", "encodings.ascii", "encodings.latin_1"),  # of text, by name
    "encodings.utf_16_le",  # of a partition's label
    "_strptime",  # of a moment in a document
    "tuf.api.serialization.json",  # whenever metadata is read
    *("encodings.idna", "stringprep", "unicodedata"),  # of a host name, whenever one is looked up
    *("traceback", "runpy", "pkgutil"),  # python -m, and what prints a defect
    *("shutil", "locale"),  # the width of the terminal and the language, which argparse asks for
)
# what the standard library looks for and does without; here nothing needs it
ABSENT = (
    *("bz2", "lzma", "_bz2", "_lzma"),  # shutil, for archives
)
# Packages that node programs may import beside the standard library and ours. They come from the environment that the
# builder runs in: pure Python, pinned by hash in requirements/, the very files that the tests ran with. Debian's are
# other versions, and bring `cryptography`; without it Ed25519 is verified in Python: 8 ms each, a handful a check.
THIRD_PARTY = frozenset({"securesystemslib", "tuf"})
# where systemd mounts what a system container sees; the root itself is read-only, so they must be there
EMPTY_DIRS = (
    *("boot", "dev", "etc", "home", "mnt", "proc", "root", "run", "sys", "tmp"),
    *("var/cache", "var/lib", "var/log", "var/tmp"),
    "usr/share/zoneinfo",
)
# opened by the C library when a thread is ended from outside, as the interpreter does at its exit; aborts without
OPENED_BY_NAME = "usr/lib/x86_64-linux-gnu/libgcc_s.so.1"
LINKS = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


@dataclass(frozen=True)
class Modules:
    """`ours`: module → source file, relative to the package's folder's parent; `others`: every other import."""

    ours: dict[str, Path]
    others: frozenset[str]


def ours(top: Path = TOP) -> Modules:
    """Every module of ENTRY and what they lead to, by reading the sources, imports inside functions included.

    `top` is the folder of the package `orlop`. Raises BadInput for an import that is not there or not allowed.
    """
    todo = [module_name(top, path) for path in sorted((top / "node").rglob("*.py"))]
    found: dict[str, Path] = {}
    others: set[str] = set()
    while todo:
        name = todo.pop()
        if name in found:
            continue
        path = module_file(top, name)
        if path is None:
            raise BadInput(f"the node's programs import {name}, which is not there")
        found[name] = path
        if "." in name:
            todo.append(name.rpartition(".")[0])
        for imported in imports(path.read_text()):
            if imported.partition(".")[0] != top.name:
                others.add(imported)
            elif module_file(top, imported):
                todo.append(imported)
            else:  # a name in a module
                todo.append(imported.rpartition(".")[0])
    if unknown := {name.partition(".")[0] for name in others} - sys.stdlib_module_names - THIRD_PARTY:
        raise BadInput(
            f"the node's programs import {', '.join(sorted(unknown))}, which is not in their Python",
            hint="do without, or name it in THIRD_PARTY of orlop/image/runtime.py, if it is nothing but Python",
        )
    return Modules(dict(sorted(found.items())), frozenset(others))


def module_name(top: Path, path: Path) -> str:
    parts = path.relative_to(top.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_file(top: Path, name: str) -> Path | None:
    base = top.parent.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def imports(source: str) -> set[str]:
    """The modules a source text names in import statements; `from a import b` gives `a.b`, which may be no module.

    What stands under `if TYPE_CHECKING:` is never run and is left out, and so is __future__.
    """
    found: set[str] = set()
    for node in _run(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _run(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and child in node.body and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield from _run(child)


def third_party() -> dict[str, Path]:
    """Where the builder's own copy of each of the packages is. Raises Missing."""
    found = {}
    for name in sorted(THIRD_PARTY):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise Missing(f"the Python package {name} is not installed, and goes into the image", hint="make setup")
        found[name] = Path(spec.submodule_search_locations[0])
    return found


def sources() -> Iterator[tuple[str, Path]]:
    """Every Python file that may go into the runtime, with a name that does not say where it is on this computer."""
    yield from ours().ours.items()
    for name, folder in third_party().items():
        for path in sorted(folder.rglob("*.py")):
            yield f"{name}/{path.relative_to(folder)}", path


def install(ws: Workspace, tree: Path) -> dict[str, Any]:
    """Make the runtime in `tree`, whose packages are whole; returns what there is to say of it.

    Its libraries are linked in by `link_libraries`, when it is known which of them stay. Raises BadInput as `ours`, or
    CommandFailed when a module does not let itself be imported.
    """
    mine = ours()
    place = tree / PLACE
    (place / PYTHON).parent.mkdir(parents=True)
    shutil.copy2(tree / PYTHON, place / PYTHON)
    named = f"/{PLACE}/{LIBRARY}"
    with tempfile.TemporaryDirectory(prefix="third-party-", dir=tree.parent) as others:
        for name, folder in third_party().items():
            shutil.copytree(folder, Path(others) / name, ignore=shutil.ignore_patterns("__pycache__", "test*"))
        arguments: list[str | Path] = [
            *(place / LIBRARY, named, TOP.parent, others),
            ",".join(ABSENT),
            *sorted({*mine.ours, *mine.others, *LATE}),
        ]
        said = sdk_run(
            ws,
            [
                *("env", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"),
                *(tree / PYTHON, "-s", "-S", "-P", IMPORTED, *arguments),
            ],
            what="collecting the Python modules of the node",
            binds=[tree.parent],
            hint="its last line says what cannot be imported, and ABSENT in orlop/image/runtime.py what must not be",
        )
    about: dict[str, Any] = json.loads(said.splitlines()[-1])
    return about | {"third_party": {name: importlib.metadata.version(name) for name in sorted(THIRD_PARTY)}}


def link_libraries(tree: Path) -> None:
    """Give the runtime its own names for the libraries its programs need, and the folders a root has."""
    place = tree / PLACE
    programs = {str(p.relative_to(tree)) for p in walk(place) if p.suffix == ".so" or p == place / PYTHON}
    opened = {OPENED_BY_NAME} if (tree / OPENED_BY_NAME).is_file() else set()
    for path in sorted(Libraries(tree).closure(programs | opened, optional=False) - programs):
        own = place / path
        own.parent.mkdir(parents=True, exist_ok=True)
        if (tree / path).is_symlink():
            own.symlink_to((tree / path).readlink())
        else:
            os.link(tree / path, own)
    (place / LIBRARY / "lib-dynload").mkdir(exist_ok=True)  # how the interpreter knows its library, empty or not
    for name in EMPTY_DIRS:
        (place / name).mkdir(parents=True)
    for name, target in LINKS.items():
        (place / name).symlink_to(target)


def sealed_bytes(ws: Workspace, tree: Path, work: Path) -> int:
    """What the runtime takes of the usr image, without the libraries it shares; `work` is a folder to measure in."""
    out = work / "runtime.erofs"
    sdk_run(
        ws,
        ["mkfs.erofs", *EROFS, "--exclude-path=usr/lib/x86_64-linux-gnu", "-T0", out, tree / PLACE],
        what="measuring the Python tree",
        binds=[tree, work],
    )
    return out.stat().st_size
