"""The stand-in for the system manager speaks enough D-Bus: any number of callers, each call answered."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from orlop.node.config.manager import answering, reply


def call(serial: int) -> bytes:
    """A method call with one header field (1, path: "/") and no body."""
    fields = b"\x01\x01o\x00" + struct.pack("<I", 1) + b"/\x00"
    head = b"l\x01\x00\x01" + struct.pack("<III", 0, serial, len(fields)) + fields
    return head + bytes(-len(head) % 8)


def test_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "private"
    with answering(path, "257.9"):
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.settimeout(10)
                caller.connect(str(path))
                stream = caller.makefile("rwb")
                answers = []
                for line in (b"\0AUTH", b"AUTH EXTERNAL", b"DATA 30", b"NEGOTIATE_UNIX_FD"):
                    stream.write(line + b"\r\n")
                    stream.flush()
                    answers.append(stream.readline().split()[0])
                assert answers == [b"REJECTED", b"DATA", b"OK", b"ERROR"]
                stream.write(b"BEGIN\r\n" + call(7) + call(8))
                stream.flush()
                for serial in (7, 8):
                    wanted = reply(serial, "257.9")
                    assert stream.read(len(wanted)) == wanted
    assert b"257.9\0" in reply(1, "257.9")
