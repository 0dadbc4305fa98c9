"""What `make` calls: the order and the choice of tests, stages side by side, times at the end."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


sys.path.insert(0, str(SCRIPTS))  # as for a script that is run: machine-tests.py imports again.py


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


machine_tests = load("machine-tests")
check = load("check")
again = load("again")


@pytest.mark.parametrize(
    ("recorded", "order"),
    [
        ({}, ["a", "b", "c"]),
        ({"a": 1, "b": 3, "c": 2}, ["b", "c", "a"]),
        ({"a": 1, "b": 3, "x": 2}, ["b", "c", "a"]),  # c is new: as one in the middle
        ({"b": 5}, ["a", "b", "c"]),
    ],
)
def test_what_takes_longest_begins_first(recorded: dict[str, float], order: list[str]) -> None:
    assert machine_tests.longest_first(["c", "a", "b"], recorded) == order


def test_only_what_ran_and_passed_is_recorded(tmp_path: Path) -> None:
    file = tmp_path / "durations.json"
    session = machine_tests.Session
    machine_tests.record(file, "long", [session("a", 0, 7.4)])
    machine_tests.record(file, "not long", [session("a", 0, 90.6), session("b", 1, 5.0), session("c", 5, 1.0)])
    machine_tests.record(file, "not long", [session("b", 0, 50.0)])
    assert json.loads(file.read_text()) == {"long": {"a": 7}, "not long": {"a": 91, "b": 50}}


@pytest.mark.parametrize(
    ("tests", "name"),
    [
        ("tests/machines/test_update.py", "test_update"),
        ("tests/machines/shared", "shared"),
        ("tests/machines/shared/", "shared"),
        ("tests/machines/test_update.py::test_x[a/b]", "test_update-test_x[a_b]"),
    ],
)
def test_a_session_has_a_name_that_can_be_a_file(tests: str, name: str) -> None:
    assert machine_tests.name_of(Path(tests)) == name


def test_what_a_test_took_is_read_with_what_was_made_for_it() -> None:
    said = (
        "= slowest durations =\n12.50s setup    tests/machines/a.py::test_x\n"
        "0.5s call     tests/machines/a.py::test_x\n5.0s call     tests/machines/a.py::test_y\n= 2 passed =\n"
    )
    assert machine_tests.tests_of(said) == {"tests/machines/a.py::test_x": 13.0, "tests/machines/a.py::test_y": 5.0}


FAILED = """
=========================== short test summary info ============================
SKIPPED [1] tests/unit/test_files.py:188: root may write anywhere
FAILED tests/a/test_x.py::test_one - AssertionError: assert [1] == [2]
FAILED tests/a/test_x.py::test_two[a - b] - OSError: [Errno 5] tests/a/test_x.py::test_no
FAILED tests/a/test_x.py::Machine::test_three[c::d]
ERROR tests/a/test_x.py::test_one - AssertionError
3 failed, 7 passed in 1.0s
"""


@pytest.mark.parametrize(
    ("code", "said", "tests"),
    [
        (1, FAILED, ["test_one", "test_two[a - b]", "Machine::test_three[c::d]"]),
        (0, "7 passed", []),
        (2, FAILED, []),  # interrupted
        (1, FAILED + f"E   AssertionError: {again.TELLING} .orlop/logs):", []),
        (1, "".join(f"FAILED tests/a/test_x.py::test_{n}\n" for n in range(again.AT_MOST + 1)), []),
    ],
)
def test_few_failures_are_worth_a_second_try(code: int, said: str, tests: list[str]) -> None:
    assert again.worth_it(code, said) == [f"tests/a/test_x.py::{test}" for test in tests]


def test_what_a_console_tells_is_never_tried_again() -> None:
    assert again.TELLING in (SCRIPTS.parent / "tests/machines/machines.py").read_text()


@pytest.mark.parametrize(
    ("codes", "unsteady", "second"),
    [
        ({}, [], []),
        ({"a": 0, "b": 0}, [], []),
        ({"a": 1}, ["tests/a.py::test_a"], ["a"]),
        ({"a": 2}, [], []),  # failed, and none of it may be tried again
    ],
)
def test_sessions_that_failed_are_tried_once_more(
    codes: dict[str, int], unsteady: list[str], second: list[str]
) -> None:
    class Run:
        def __init__(self) -> None:
            self.tried: list[str] = []

        def once_more(self, session: object) -> object:
            self.tried.append(session.name)  # type: ignore[attr-defined]
            return machine_tests.Session(session.name, 0, 1.0)  # type: ignore[attr-defined]

    run = Run()
    done = [
        machine_tests.Session(name, code, 1.0, {}, [f"tests/{name}.py::test_{name}"] if code == 1 else [])
        for name, code in codes.items()
    ]
    after, passed = machine_tests.second_tries(run, done)
    assert (passed, run.tried) == (unsteady, second)
    assert [session.code for session in after] == [0 if code < 2 else code for code in codes.values()]


def test_a_test_that_passes_the_second_time_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_x.py").write_text(
        "from pathlib import Path\n"
        "def test_unsteady():\n    mark = Path('mark')\n    there = mark.exists()\n    mark.touch()\n    assert there\n"
        "def test_well():\n    assert not Path('well').exists()\n    Path('well').touch()\n"
    )
    pytest_itself = [sys.executable, "-m", "pytest", "-rA", "--rootdir", ".", "-p", "no:cacheprovider"]
    argv = [sys.executable, str(SCRIPTS / "again.py"), *pytest_itself, "tests"]
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert ran.stdout.endswith("── unsteady: failed, and passed when run once more\n~ tests/test_x.py::test_unsteady\n")
    (tmp_path / "mark").unlink()
    (folder / "test_x.py").write_text("def test_bad():\n    assert 0\n")
    ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.count("1 failed")) == (1, 2)


def test_a_stage_is_whole_and_has_its_own_processor_time() -> None:
    busy = "import time\nwhile time.process_time() < 0.2: pass\nprint('done')\nraise SystemExit(3)"
    stage = check.run("busy", ["sh", "-c", f'{sys.executable} -c "{busy}"; exit $?'])
    assert (stage.name, stage.code, stage.said) == ("busy", 3, "done\n")
    assert 0.2 <= stage.processor < 5
    assert check.run("idle", ["true"]).processor < 0.2


def test_a_stage_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main("stile") == 2
    assert "not a stage: stile; there are: unit types" in capsys.readouterr().err


def test_stages_are_listed_at_the_end_slowest_first(tmp_path: Path) -> None:
    def stage(*words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "ORLOP_STATE": str(tmp_path)}
        argv = [str(SCRIPTS / "stage.sh"), *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=20)

    assert stage("quick", "true").stdout == "── quick\n✓ quick: 0 s\n"  # alone: nothing is kept
    assert not (tmp_path / "logs").exists()
    stage("--begin")
    assert stage("the slow one", "sleep", "1.2").returncode == 0
    assert stage("quick", "sh", "-c", "exit 4").returncode == 4
    first, slow, quick = stage("--times").stdout.splitlines()
    assert first == "── stages, slowest first"
    assert slow.startswith("✓") and slow.endswith("s  the slow one")
    assert quick == "✗      0 s  quick"
    assert not (tmp_path / "logs/stages").exists()
