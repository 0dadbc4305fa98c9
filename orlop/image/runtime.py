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
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orlop.errors import BadInput, Missing
from orlop.image import roots
from orlop.image.imported import ALONE
from orlop.image.prune import walk
from orlop.image.seal import EROFS
from orlop.model.words.arch import BUILT
from orlop.sdk.run import sdk_run
from orlop.workspace import Workspace

PLACE = "usr/lib/orlop/runtime"
PYTHON = "usr/bin/python3.13"
LIBRARY = "usr/lib/python3.13"
OPENSSL = "usr/bin/openssl"  # what signs certificates; orlop.node.cluster starts it
ENTRY = "orlop.node"
ROOMS = ("node", "control")  # whose programs run in it
TOP = Path(__file__).parent.parent
IMPORTED = Path(__file__).with_name("imported.py")

# imported by the interpreter itself, or by a function of the standard library that node programs do reach
LATE = (
    *("encodings.utf_8", "encodings.ascii", "encodings.latin_1"),  # of text, by name
    "encodings.utf_16_le",  # of a partition's label
    "_strptime",  # of a moment in a document
    "tuf.api.serialization.json",  # whenever metadata is read
    "uvicorn.lifespan.off",  # named in a table of its own
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
# The control plane's: a web server and what it leans on. Only orlop.control imports them.
SERVED_BY = frozenset({"anyio", "click", "h11", "sniffio", "starlette", "uvicorn"})
THIRD_PARTY = frozenset({"securesystemslib", "tuf"}) | SERVED_BY
# where systemd mounts what a system container sees; the root itself is read-only, so they must be there
EMPTY_DIRS = (*roots.EMPTY_DIRS, *("boot", "home", "mnt", "root"), "usr/share/zoneinfo")
# opened by the C library when a thread is ended from outside, as the interpreter does at its exit; aborts without
OPENED_BY_NAME = f"usr/lib/{BUILT.libraries}/libgcc_s.so.1"


@dataclass(frozen=True)
class Modules:
    """`ours`: module → source file, relative to the package's folder's parent; `others`: every other import."""

    ours: dict[str, Path]
    others: frozenset[str]


def ours(top: Path = TOP) -> Modules:
    """Every module of ENTRY and what they lead to; errors as `reached`. `top` is the folder of the package `orlop`."""
    paths = (path for room in ROOMS for path in sorted((top / room).rglob("*.py")))
    return reached(top, [module_name(top, path) for path in paths])


def reached(top: Path, names: Iterable[str]) -> Modules:
    """The modules `names` and what they lead to, by reading the sources, imports inside functions included.

    Raises BadInput for an import that is not there or not allowed, or a source that is not valid Python.
    """
    todo = list(names)
    ours: dict[str, Path] = {}
    others: set[str] = set()
    while todo:
        name = todo.pop()
        if name in ours:
            continue
        path = module_file(top, name)
        if path is None:
            raise BadInput(f"the node's programs import {name}, which is not there")
        ours[name] = path
        if "." in name:
            todo.append(name.rpartition(".")[0])
        for imported in _imports_of(path):
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
    return Modules(dict(sorted(ours.items())), frozenset(others))


def module_name(top: Path, path: Path) -> str:
    parts = path.relative_to(top.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_file(top: Path, name: str) -> Path | None:
    base = top.parent.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imports_of(path: Path) -> frozenset[str]:
    try:
        return imports(path.read_text())
    except SyntaxError as e:
        raise BadInput(f"{path}, line {e.lineno}: {e.msg}") from None


@cache  # the same sources are asked about for one program after another
def imports(source: str) -> frozenset[str]:
    """The modules a source text names in import statements; `from a import b` gives `a.b`, which may be no module.

    What stands under `if TYPE_CHECKING:` is never run and is left out, and so is __future__.
    """
    modules: set[str] = set()
    for node in _run(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(modules)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and child in node.body and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield from _run(child)


def third_party() -> dict[str, Path]:
    """Where the builder's own copy of each of the packages is. Raises Missing."""
    files = {}
    for name in sorted(THIRD_PARTY):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise Missing(f"the Python package {name} is not installed, and goes into the image", hint="make setup")
        files[name] = Path(spec.submodule_search_locations[0])
    return files


def sources(top: Path = TOP) -> Iterator[tuple[str, Path]]:
    """Every Python file that may go into the runtime, with a name that does not say where it is on this computer."""
    yield from ours(top).ours.items()
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
    for program in (PYTHON, OPENSSL):
        shutil.copy2(tree / program, place / program)
    named = f"/{PLACE}/{LIBRARY}"
    with tempfile.TemporaryDirectory(prefix="third-party-", dir=tree.parent) as others:
        for name, folder in third_party().items():
            shutil.copytree(folder, Path(others) / name, ignore=shutil.ignore_patterns("__pycache__", "test*"))
        arguments: list[str | Path] = [
            *(place / LIBRARY, named, TOP.parent, others),
            ",".join(ABSENT),
            *sorted({*mine.ours, *mine.others, *LATE}),
        ]
        output = sdk_run(
            ws,
            [
                *("env", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"),
                *(tree / PYTHON, "-s", "-S", "-P", IMPORTED, *arguments),
            ],
            what="collecting the Python modules of the node",
            binds=[tree.parent],
            hint="its last line says what cannot be imported, and ABSENT in orlop/image/runtime.py what must not be",
        )
    about: dict[str, Any] = json.loads(output.splitlines()[-1])
    return about | {"third_party": {name: importlib.metadata.version(name) for name in sorted(THIRD_PARTY)}}


def install_ours(ws: Workspace, root: Path, paths: Iterable[str], tree: Path) -> None:
    """Make in `tree` what `install` makes of these modules of ours, files relative to `root`, and nothing else of it.

    The SDK's interpreter compiles them: it is of the same Debian, so its bytecode is what the image's own makes.
    """
    argv: list[str | Path] = [
        *("env", "PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"),
        *(f"/{PYTHON}", "-s", "-S", "-P", IMPORTED, ALONE),
        *(tree / PLACE / LIBRARY, f"/{PLACE}/{LIBRARY}", root),
        *paths,
    ]
    sdk_run(ws, argv, what="compiling the Python modules of the node", binds=[root, tree])


def stored(path: str) -> tuple[str, str]:
    """Where a module of ours, a file relative to the repository, is in an image: its source and its bytecode."""
    folder, _, name = path.rpartition("/")
    tag = PYTHON.rpartition("python")[2].replace(".", "")
    compiled = f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-{tag}.pyc"
    return f"{PLACE}/{LIBRARY}/{path}", f"{PLACE}/{LIBRARY}/{compiled}"


def link_libraries(tree: Path) -> None:
    """Give the runtime its own names for the libraries its programs need, and the folders a root has."""
    place = tree / PLACE
    programs = [p for p in walk(place) if p.suffix == ".so" or p in (place / PYTHON, place / OPENSSL)]
    opened = {OPENED_BY_NAME} if (tree / OPENED_BY_NAME).is_file() else set()
    roots.link_libraries(tree, place, programs, opened)
    (place / LIBRARY / "lib-dynload").mkdir(exist_ok=True)  # how the interpreter knows its library, empty or not
    roots.make_folders(place, EMPTY_DIRS)


def sealed_bytes(ws: Workspace, tree: Path, work: Path) -> int:
    """What the runtime takes of the usr image, without the libraries it shares; `work` is a folder to measure in."""
    out = work / "runtime.erofs"
    sdk_run(
        ws,
        ["mkfs.erofs", *EROFS, f"--exclude-path=usr/lib/{BUILT.libraries}", "-T0", out, tree / PLACE],
        what="measuring the Python tree",
        binds=[tree, work],
    )
    return out.stat().st_size
