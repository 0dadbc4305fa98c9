"""Interpreters are found by what is in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orlop.image.interpreters import interpreters, kind_of

THERE = {"dash": "shell", "bash": "shell", "perl": "perl", "mawk": "awk", "gawk": "awk"}


@pytest.mark.parametrize("name", THERE)
def test_an_interpreter_under_another_name_and_without_its_mode_is_found(tmp_path: Path, name: str) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"this host has no {name}")
    assert kind_of(Path(program).resolve().read_bytes()) == THERE[name]
    hidden = tmp_path / "usr/lib/helper.so.1"
    hidden.parent.mkdir(parents=True)
    shutil.copyfile(program, hidden)
    hidden.chmod(0o644)
    (tmp_path / "usr/lib/helper.so").symlink_to("helper.so.1")
    assert interpreters(tmp_path, tmp_path / "private") == ["helper.so.1"]
    assert interpreters(tmp_path, tmp_path / "usr/lib") == []


@pytest.mark.parametrize("name", ["true", "sed", "grep", "find", "tar", "ls", "env"])
def test_other_programs_are_not(name: str) -> None:
    program = shutil.which(name)
    assert program is not None
    assert kind_of(Path(program).resolve().read_bytes()) == ""


def test_a_script_and_a_link_by_their_names_the_shortest_of_several(tmp_path: Path) -> None:
    folder = tmp_path / "usr/bin"
    folder.mkdir(parents=True)
    (folder / "perl5.40.1").write_text("#!/bin/sh\n")
    (folder / "perl5.40.1").chmod(0o755)
    (folder / "perl").symlink_to("perl5.40.1")
    (folder / "python3").write_text("nobody may run it")
    assert interpreters(tmp_path, tmp_path / "private") == ["perl"]
