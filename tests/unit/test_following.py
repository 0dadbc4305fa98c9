"""Which machine tests run when one is chosen that goes on from others: pytest itself, on a folder made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CONFTEST = """
import pytest
from tests.machines import following

@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items):
    collected = list(items)
    yield
    items[:] = following.whole(items, collected)
"""
STORY = """
import pytest
pytestmark = pytest.mark.follows
def test_a(): pass
@pytest.mark.long
def test_b(): pass
@pytest.mark.parametrize("n", [1, 2])
def test_c(n): pass
def test_d(): pass
"""
NAMED = """
import pytest
def test_a(): pass
def test_b(): pass
@pytest.mark.follows("test_a")
def test_c(): pass
def test_d(): pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("following")
    (made / "conftest.py").write_text(CONFTEST)
    (made / "test_story.py").write_text(STORY)
    (made / "test_named.py").write_text(NAMED)
    (made / "pytest.ini").write_text("[pytest]\nmarkers =\n  follows\n  long\n")
    return made


@pytest.mark.parametrize(
    ("chosen", "run"),
    [
        (["test_story.py::test_d"], "a c[1] c[2] d"),
        (["test_story.py", "-k", "test_a or test_c"], "a c[1] c[2]"),
        (["test_story.py", "-m", "long"], "a b"),
        (["test_named.py", "-k", "test_c"], "a c"),
    ],
)
def test_what_is_chosen_brings_what_it_follows(folder: Path, chosen: list[str], run: str) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *chosen]
    env = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin"}
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert [line.partition("::test_")[2] for line in done.stdout.splitlines() if "::" in line] == run.split(), (
        done.stdout
    )
