from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.image.apart import NAME, OWN_NAME, ask_for, set_apart
from orlop.image.elf import LIBRARY_DIRS, read_needs


@pytest.fixture
def program(tmp_path: Path) -> Path:
    found = shutil.which("true")
    assert found
    return Path(shutil.copy(found, tmp_path / "program"))


def test_a_program_asks_for_the_other_name_and_is_the_same_otherwise(program: Path) -> None:
    before = program.read_bytes()
    ask_for(program, "libc.so.6", "libc.so.x")
    assert read_needs(program).needed == ("libc.so.x",)
    after = program.read_bytes()
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


def test_a_program_that_does_not_name_it_once_is_refused(program: Path) -> None:
    with pytest.raises(BadInput, match="program does not name libxx"):
        ask_for(program, "libxx.so.6", "libxx.so.x")


def test_only_the_name_that_is_looked_for_goes(tmp_path: Path) -> None:
    libraries = tmp_path / LIBRARY_DIRS[0]
    for folder in (libraries, tmp_path / "usr/bin", tmp_path / "usr/sbin"):
        folder.mkdir(parents=True)
    set_apart(tmp_path)  # no package brings it
    (libraries / f"{NAME}.5.0").write_bytes(b"")
    (libraries / NAME).symlink_to(f"{NAME}.5.0")
    set_apart(tmp_path)
    assert sorted(path.name for path in libraries.iterdir()) == [f"{NAME}.5.0", OWN_NAME]
