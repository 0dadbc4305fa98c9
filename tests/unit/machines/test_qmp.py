"""The client against a small speaker of QMP on a real socket; the real QEMU is in tests/contracts/lab."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orlop.errors import CommandFailed, Missing, TimedOut
from orlop.machines.qmp import ask

GREETING = '{"QMP": {"version": {}, "capabilities": []}}'
EVENT = '{"timestamp": {}, "event": "RTC_CHANGE"}'


@contextmanager
def speaker(path: Path, *lines: str) -> Iterator[list[dict[str, object]]]:
    """Says `lines` one after the other, waiting for a command where a line begins with `>`."""
    heard: list[dict[str, object]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)

    def serve() -> None:
        with server.accept()[0] as s, s.makefile("rwb") as stream:
            for line in lines:
                if line.startswith(">"):
                    heard.append(json.loads(stream.readline()))
                stream.write(line.lstrip(">").encode() + b"\n")
                stream.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        thread.join(10)
        server.close()


def test_a_question_is_asked_after_the_greeting_and_events_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with speaker(path, GREETING, '>{"return": {}}', EVENT, ">" + EVENT, '{"return": {"status": "running"}}') as heard:
        assert ask(path, "query-status", {"a": 1}) == {"status": "running"}
    assert heard == [{"execute": "qmp_capabilities"}, {"execute": "query-status", "arguments": {"a": 1}}]


def test_a_refusal_is_told(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with speaker(path, GREETING, '>{"return": {}}', '>{"error": {"class": "GenericError", "desc": "no such link"}}'):
        with pytest.raises(CommandFailed, match="no such link"):
            ask(path, "set_link")


@pytest.mark.parametrize("lines", [(), ("hello",), ("[1]",), (GREETING, ">")])
def test_what_is_no_qmp_is_told(tmp_path: Path, lines: tuple[str, ...]) -> None:
    path = tmp_path / "qmp"
    with speaker(path, *lines), pytest.raises(CommandFailed, match=r"not a QMP message|broke off"):
        ask(path, "query-status")


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no QEMU listens"):
        ask(tmp_path / "qmp", "query-status")


def test_a_qemu_that_hangs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        with pytest.raises(TimedOut, match="did not answer"):
            ask(path, "query-status", timeout=0.1)
