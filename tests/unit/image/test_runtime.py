"""Which modules go into the node's private Python, and how they are stored. The image's copy: tests/machines."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image import imported, runtime


def test_the_nodes_programs_import_little_from_third_parties() -> None:
    """The whole list of what they may import beside the standard library: a new one is a decision, made here."""
    assert sorted(runtime.THIRD_PARTY) == [
        "anyio",
        "click",
        "h11",
        "securesystemslib",
        "sniffio",
        "starlette",
        "tuf",
        "uvicorn",
    ]
    web = {name for name in runtime.ours().others if name.partition(".")[0] in runtime.SERVED_BY}
    assert web, "the control plane is in the image"
    found = runtime.ours()
    allowed = sys.stdlib_module_names | runtime.THIRD_PARTY
    assert {name for name in found.others if name.partition(".")[0] not in allowed} == set()


def test_the_nodes_programs_bring_only_layers_below_them() -> None:
    folders = {name.split(".")[1] for name in runtime.ours().ours if name.count(".") >= 1}
    bases = {"errors", "files", "processes", "steps", "workspace"}
    assert folders <= {"control", "node", "store", "cluster", "trust", "provision", "net", "model"} | bases


def make_package(top: Path, files: dict[str, str]) -> Path:
    package = top / "orlop"
    for name, text in ({"__init__.py": "", "node/__init__.py": ""} | files).items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    top = make_package(
        tmp_path,
        {
            "node/a.py": "from orlop.model.b import f\nimport json\ndef g():\n    import orlop.c\n",
            "model/__init__.py": "",
            "model/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import orlop.never\n"
            "else:\n    from orlop import d\ndef f(): import socket\n",
            "c.py": "from os.path import join",
            "d.py": "",
            "never.py": "",
        },
    )
    found = runtime.ours(top)
    assert set(found.ours) == {
        "orlop", "orlop.node", "orlop.node.a", "orlop.model", "orlop.model.b", "orlop.c", "orlop.d",
    }  # fmt: skip
    assert found.others == {"json", "typing.TYPE_CHECKING", "socket", "os.path.join"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import yaml", "yaml, which is not in their Python"),
        ("import orlop.nowhere.x", r"orlop\.nowhere, which is not there"),
    ],
)
def test_an_import_that_the_image_cannot_satisfy_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        runtime.ours(make_package(tmp_path, {"node/a.py": text}))


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, dict[str, list[str]]]:
    """What the script makes of a small package, with the Python that runs these tests."""
    make_package(tmp_path / "top", {"node/a.py": "import json\nX = 1\ndef f():\n    raise ValueError(X)  # here\n"})
    to = tmp_path / "lib"
    named = "/private/lib"
    done = subprocess.run(
        [sys.executable, "-s", "-S", "-P", imported.__file__, to, named, tmp_path / "top",
         tmp_path / "others", "csv", "orlop.node.a.X"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return to, json.loads(done.stdout)


def test_a_module_of_ours_keeps_its_source_and_others_are_bytecode(stored: tuple[Path, dict[str, list[str]]]) -> None:
    to, report = stored
    assert (to / "orlop/node/a.py").is_file()
    (compiled,) = (to / "orlop/node/__pycache__").glob("a.*.pyc")
    assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 1, "by hash, and not compared with the source"
    assert (to / "json/decoder.pyc").is_file()
    assert not (to / "json/decoder.py").exists()
    assert b"Simple JSON <https" not in (to / "json/decoder.pyc").read_bytes(), "nobody reads its docstrings"
    assert (to / "os.pyc").is_file(), "how the interpreter knows its library"
    assert {"json.decoder", "orlop.node.a", "sys"} <= set(report["modules"])
    assert not {"shutil", "py_compile", "csv"} & set(report["modules"]), "what the script itself uses is not in it"


def test_a_stored_module_runs_and_its_traceback_shows_the_line(stored: tuple[Path, dict[str, list[str]]]) -> None:
    to, _ = stored
    script = f"import sys; sys.path.insert(0, {str(to)!r}); from orlop.node import a; a.f()"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "raise ValueError(X)  # here" in done.stderr
    assert f'File "{to}/orlop/node/a.py", line 4' in done.stderr


def test_modules_stored_alone_are_as_they_are_in_an_image(
    stored: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    to, _ = stored
    alone = tmp_path / "alone"
    subprocess.run(
        [sys.executable, "-s", "-S", "-P", imported.__file__, imported.ALONE, alone, "/private/lib", tmp_path / "top",
         "orlop/node/a.py"],
        check=True,
    )  # fmt: skip
    found = [path for path in alone.rglob("*") if path.is_file()]
    assert sorted(path.suffix for path in found) == [".py", ".pyc"]
    for path in found:
        assert path.read_bytes() == (to / path.relative_to(alone)).read_bytes()


def test_a_module_of_ours_has_its_bytecode_beside_it_in_an_image() -> None:
    source, compiled = runtime.stored("orlop/node/a.py")
    assert source == "usr/lib/orlop/runtime/usr/lib/python3.13/orlop/node/a.py"
    assert compiled == "usr/lib/orlop/runtime/usr/lib/python3.13/orlop/node/__pycache__/a.cpython-313.pyc"


def test_a_source_that_is_not_python_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a\.py, line 2: "):
        runtime.ours(make_package(tmp_path, {"node/a.py": "import json\ndef (:\n"}))


def test_a_module_that_cannot_be_imported_ends_it(tmp_path: Path) -> None:
    top = make_package(tmp_path / "top", {"node/a.py": "import json.nothing"}).parent
    done = subprocess.run(
        [sys.executable, "-s", "-S", "-P", imported.__file__, tmp_path / "lib", "/l", top, top, "csv", "orlop.node.a"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "No module named 'json.nothing'" in done.stderr
    assert not (tmp_path / "lib").exists()


def test_libraries_are_the_hosts_own_files_under_a_second_name(tmp_path: Path) -> None:
    program = Path("/bin/true").resolve()
    place = tmp_path / runtime.PLACE
    for folder in ("usr/bin", runtime.LIBRARY):
        (place / folder).mkdir(parents=True)
    shutil.copyfile(program, place / runtime.PYTHON)
    host = tmp_path / "usr/lib/x86_64-linux-gnu"
    host.mkdir(parents=True)
    (tmp_path / "usr/lib64").mkdir()
    shutil.copyfile("/lib/x86_64-linux-gnu/libc.so.6", host / "libc.so.6.1")
    (host / "libc.so.6").symlink_to("libc.so.6.1")
    shutil.copyfile("/lib64/ld-linux-x86-64.so.2", host / "ld-linux-x86-64.so.2")
    (tmp_path / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    shutil.copyfile("/lib/x86_64-linux-gnu/libgcc_s.so.1", host / "libgcc_s.so.1")
    runtime.link_libraries(tmp_path)
    assert (tmp_path / runtime.PLACE / runtime.OPENED_BY_NAME).samefile(host / "libgcc_s.so.1")
    own = place / "usr/lib/x86_64-linux-gnu"
    assert (own / "libc.so.6.1").samefile(host / "libc.so.6.1")
    assert (own / "libc.so.6").readlink() == Path("libc.so.6.1")
    assert (place / "lib64").readlink() == Path("usr/lib64")
    assert (place / "usr/lib64/ld-linux-x86-64.so.2").exists()
    assert all((place / name).is_dir() for name in ("proc", "sys", "dev", "run", "tmp", "etc", "var/tmp"))
    assert (place / runtime.LIBRARY / "lib-dynload").is_dir(), "how the interpreter knows its library"


def test_the_nodes_programs_name_no_encoding_that_is_not_in_the_image() -> None:
    """A codec is imported by its name, when it is first used: no import statement leads to it."""
    named = {
        argument.value
        for path in runtime.ours().ours.values()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("encode", "decode")
        for argument in call.args[:1]
        if isinstance(argument, ast.Constant)
    }
    there = {name.removeprefix("encodings.") for name in runtime.LATE}
    assert {str(name).replace("-", "_").lower() for name in named} <= there
