"""Which top folder may import which: import-linter sees packages below one root, and these stand beside each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "orlop": {"orlop"},
    "simulators": {"orlop", "simulators"},
    "proofs": {"orlop", "simulators", "proofs"},
    "bench": {"orlop", "simulators", "proofs", "bench"},
    "tests": {"orlop", "simulators", "proofs", "tests"},
    "scripts": set[str](),  # they run under any Python, before ours is there
}


def imported(path: Path) -> Iterator[str]:
    """The top folders that a file imports from, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_top_folders_import_only_what_they_may(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    wrong = {
        f"{path.relative_to(ROOT)} imports {top}"
        for path in files
        for top in imported(path)
        if top in MAY_IMPORT and top not in MAY_IMPORT[folder]
    }
    assert not wrong


def test_every_top_folder_with_python_in_it_is_on_the_list() -> None:
    have = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/*.py")}
    assert have - {"os"} == set(MAY_IMPORT)
