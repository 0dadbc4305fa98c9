"""QMP: what one asks a running QEMU, as JSON lines over a unix socket.

Protocol: QEMU greets, takes `qmp_capabilities`, then answers each command with `return` or `error`; events may come in
between and are passed over. One client at a time, so a connection lives for one question, or a few of one moment.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from orlop.errors import CommandFailed, Missing, TimedOut

TIMEOUT = 20.0


class _Stream(Protocol):
    def readline(self) -> bytes: ...
    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


def ask(path: Path, command: str, arguments: Mapping[str, object] | None = None, *, timeout: float = TIMEOUT) -> object:
    """Run one command and return what QEMU returned. Raises as `ask_all`."""
    return ask_all(path, (command, arguments), timeout=timeout)[0]


def ask_all(path: Path, *commands: tuple[str, Mapping[str, object] | None], timeout: float = TIMEOUT) -> list[object]:
    """Run commands, each with its arguments, one straight after the other; what QEMU returned for each.

    Raises Missing (nobody listens), TimedOut, or CommandFailed (QEMU refused, or ended while it was asked).
    """
    names = " and ".join(repr(command) for command, _ in commands)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(timeout)
            s.connect(str(path))
            with s.makefile("rwb") as stream:
                _read(stream, path)  # the greeting
                _say(stream, path, "qmp_capabilities", None)
                return [_say(stream, path, command, arguments) for command, arguments in commands]
    except TimeoutError:
        raise TimedOut(f"QEMU did not answer {names} on {path} within {timeout:.0f} s") from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise Missing(f"no QEMU listens on {path}", hint="`orlop lab status` shows which nodes run") from None
    except OSError as e:
        raise CommandFailed(f"QEMU broke off while asked {names} on {path}: {e}", code=1) from None


def _say(stream: _Stream, path: Path, command: str, arguments: Mapping[str, object] | None) -> object:
    message: dict[str, object] = {"execute": command}
    if arguments:
        message["arguments"] = dict(arguments)
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
    while True:
        answer = _read(stream, path)
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            raise CommandFailed(f"QEMU refused {command!r} on {path}: {answer['error']}", code=1)


def _read(stream: _Stream, path: Path) -> dict[str, object]:
    line = stream.readline()
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CommandFailed(f"QEMU on {path} said {line[:200]!r}, which is not a QMP message", code=1)
    return answer
