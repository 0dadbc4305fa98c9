"""Real processes, real pid files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orlop.machines.pids import ProcessId, alive, find, from_file, identify, kill


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that names a path in the folder `lab`."""
    script = "import time; print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script, f"file={tmp_path}/lab/disk"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()  # its command line can be empty until it runs
    yield child
    child.stdout.close()
    child.kill()
    child.wait()


def test_a_process_is_itself_until_it_ends(sleeper: subprocess.Popen[bytes]) -> None:
    process = identify(sleeper.pid)
    assert process is not None
    assert alive(process)
    assert kill(process)
    assert not alive(process)  # a zombie by now, and not waited for
    assert identify(sleeper.pid) is None
    assert kill(process), "killing what is gone is no error"


def test_a_reused_number_is_not_killed(sleeper: subprocess.Popen[bytes]) -> None:
    process = identify(sleeper.pid)
    assert process is not None
    earlier = replace(process, start=process.start - 1)
    assert not alive(earlier)
    assert kill(earlier)
    assert sleeper.poll() is None


def test_a_number_nobody_has() -> None:
    nobody = ProcessId(2**22 + 1, 1)
    assert identify(nobody.pid) is None
    assert kill(nobody)
    assert not alive(None)


@pytest.mark.parametrize("content", [None, "", "x", "-1", "1 2", "9" * 30, "\udcff", "²"])
def test_a_pid_file_that_is_garbage_names_nobody(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pid"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    assert from_file(path) is None


def test_a_pid_file_names_its_process(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    assert from_file(path) == identify(os.getpid())


def test_programs_are_found_by_the_folder_they_name(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    program = Path(sys.executable).name
    assert [p.pid for p in find([program], [tmp_path / "lab"])] == [sleeper.pid]
    assert find([program], [tmp_path / "la"]) == [], "another folder whose name begins the same"
    assert find(["qemu-system-x86_64"], [tmp_path / "lab"]) == [], "another program"
