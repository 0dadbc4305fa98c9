"""A real terminal (a pty) and a real socket that stands for the console."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from orlop.errors import Missing
from orlop.machines.terminal import attach

ATTACH = "import sys; from pathlib import Path; from orlop.machines.terminal import attach; attach(Path(sys.argv[1]))"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "con"))
        s.listen(1)
        s.settimeout(20)
        yield s


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """(the person's end, the program's end) of a terminal."""
    mine, theirs = pty.openpty()
    yield mine, theirs
    os.close(mine)
    os.close(theirs)


def sit_down(path: Path, terminal: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ATTACH, path], stdin=terminal, stdout=terminal)


def read_until(fd: int, wanted: bytes) -> None:
    got = b""
    while wanted not in got:
        got += os.read(fd, 1000)


def test_keys_go_through_one_by_one_until_ctrl_bracket(
    listener: socket.socket, ends: tuple[int, int], tmp_path: Path
) -> None:
    mine, theirs = ends
    before = termios.tcgetattr(theirs)
    child = sit_down(tmp_path / "con", theirs)
    console, _ = listener.accept()
    with console:
        console.settimeout(20)
        console.sendall(b"login: \xff")
        read_until(mine, b"login: \xff")
        os.write(mine, b"\x03a")  # Ctrl-C is the machine's
        os.write(mine, b"b\x1dc")
        assert child.wait(20) == 0
        assert console.makefile("rb").read() == b"\x03ab", "nothing after Ctrl-]"
    assert termios.tcgetattr(theirs) == before


def test_it_ends_when_the_machine_goes_off(listener: socket.socket, ends: tuple[int, int], tmp_path: Path) -> None:
    child = sit_down(tmp_path / "con", ends[1])
    console, _ = listener.accept()
    console.close()
    assert child.wait(20) == 0


def test_a_machine_that_is_off_has_no_console(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no running machine has its console at"):
        attach(tmp_path / "con")
