"""scripts/mutation.py: which mutants count, and what is said of them. mutmut itself is a fake program here."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutation", ROOT / "scripts/mutation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


mutation = load()


@pytest.mark.parametrize("name", mutation.ROOMS)
def test_a_room_and_its_tests_are_there(name: str) -> None:
    assert (ROOT / "orlop" / name).is_dir()
    for tests in mutation.ROOMS[name].tests:
        assert (ROOT / tests).exists()


def asked(folder: Path, codes: dict[str, int | None]) -> tuple[bool, str]:
    """Whether the room passes whose mutants' tests ended so, and the log."""
    (folder / "mutants/orlop").mkdir(parents=True)
    (folder / "mutants/orlop/x.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    program = folder / "mutmut"
    program.write_text('#!/bin/sh\necho "how $2 differs"\n')
    program.chmod(0o755)
    log = folder / "log.txt"
    return mutation.report("model", folder, program, log, set(codes) - {"not chosen"}), log.read_text()


def test_what_is_noticed_counts_and_what_no_test_reaches_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noticed: dict[str, int | None] = {f"n{number}": (1, 3, 36, -24)[number % 4] for number in range(17)}
    passed, log = asked(tmp_path, noticed | {"survivor": 0, "unreached": 33, "late": None, "not chosen": 0})
    assert passed is True
    assert log == "survivor\nhow survivor differs\n\nunreached (no test reaches it)\nhow unreached differs\n\n"
    out = capsys.readouterr().out
    assert "model: 17 of 19 noticed, 89.5 % (at least 85 %)" in out
    assert "not asked or without an answer: {None: 1}" in out


@pytest.mark.parametrize("codes", [{"a": 1, "b": 0}, {"a": None}, {}])
def test_a_room_below_its_score_or_without_any_fails(tmp_path: Path, codes: dict[str, int | None]) -> None:
    assert asked(tmp_path, codes)[0] is False
