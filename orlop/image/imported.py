"""Run by the image's own Python: import modules, then copy the files that took, compiled, to another folder.

With ALONE nothing is imported: the files of ours that are named are stored as they would be then, and no others.

Why by importing: what a module of the standard library imports depends on the interpreter that runs it. What is built
into the interpreter, or frozen in it, takes no file.

Modules of the standard library and of others are stored as bytecode alone: smaller, and no look at a source. The
standard library's is as with -OO: nobody asks for its docstrings, which are a megabyte of a process's memory. Ours keep
their source beside it, so that a traceback shows the lines. The bytecode holds no time and is not compared with its
source: both are in an image that does not change.

Invariant: until everything is imported, this script itself imports nothing but what every one of ours does.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

ALONE = "--alone"
LANDMARK = "os"  # frozen, but its file is how the interpreter finds its library


def main(to: str, named: str, top: str, others: str, absent: str, *names: str) -> None:
    """Copy what `names` import to the library folder `to`, which is called `named` on the machine, and print a report.

    The last part of a name may be a name in a module. `top`: the folder our package is in; `others`: the folder of the
    packages that are neither ours nor the standard library's; `absent`: modules, joined by commas, that are made not to
    be there.
    """
    sys.modules.update(dict.fromkeys(absent.split(",")))  # type: ignore[arg-type]  # None stops an import
    sys.path += [others, top]
    for name in (LANDMARK, *names):
        _import(name)
    loaded = sorted(
        (name, module) for name, module in sys.modules.items() if name not in (*absent.split(","), "__main__")
    )

    import json
    import os
    from pathlib import Path

    bases = (Path(others), Path(os.__file__).parent)
    for name, module in loaded:
        spec = module.__spec__
        where = module.__file__ if name == LANDMARK else spec.origin if spec and spec.has_location else None
        if where:
            _store(Path(where), Path(to), named, Path(top), bases)
    report = {"version": ".".join(map(str, sys.version_info[:3])), "modules": [name for name, _ in loaded]}
    print(json.dumps(report))  # noqa: T201


def alone(to: str, named: str, top: str, *paths: str) -> None:
    """Store the files `paths`, which are relative to `top`, in the library folder `to`, called `named` as in `main`."""
    from pathlib import Path

    for path in paths:
        _store(Path(top) / path, Path(to), named, Path(top), ())


def _import(name: str) -> None:
    try:
        __import__(name)
    except ModuleNotFoundError:
        parent = name.rpartition(".")[0]
        if not parent:
            raise
        __import__(parent)
        if not hasattr(sys.modules[parent], name.rpartition(".")[2]):
            raise


def _store(path: Path, to: Path, named: str, top: Path, bases: tuple[Path, ...]) -> None:
    import importlib.util
    import py_compile
    import shutil

    own = path.is_relative_to(top / "orlop")
    library = not own and path.is_relative_to(bases[-1])
    place = path.relative_to(top if own else next(base for base in bases if path.is_relative_to(base)))
    target = to / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".py" or own:
        shutil.copyfile(path, target)
    if path.suffix == ".py":
        compiled = importlib.util.cache_from_source(str(target)) if own else str(target.with_suffix(".pyc"))
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        level = 2 if library else 0  # packages of others may rely on their asserts
        py_compile.compile(
            *(str(path), compiled, f"{named}/{place}"), doraise=True, optimize=level, invalidation_mode=mode
        )


if __name__ == "__main__":
    if sys.argv[1] == ALONE:
        alone(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
