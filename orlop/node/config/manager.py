"""A systemd that answers one question: which version are you?

Ignition asks the system manager that runs it for its version when a config enables an instance of a template unit,
over D-Bus at /run/systemd/private, and fails where there is none. Neither in a container machine, which is configured
before it has one, nor in a simulation does one run. So the image's own version is told by this: authentication, then
the same reply to every call.

Source: D-Bus Specification, "Authentication Protocol" and "Message Protocol".
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 60.0


@contextmanager
def answering(path: Path, version: str) -> Iterator[None]:
    """Listen at the socket `path` while the block runs. `version`: such as "257.9"."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=_serve, args=(listener, version), daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink(missing_ok=True)


def _serve(listener: socket.socket, version: str) -> None:
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:  # shut down
            return
        threading.Thread(target=_talk, args=(caller, version), daemon=True).start()


def _talk(caller: socket.socket, version: str) -> None:
    caller.settimeout(_PATIENCE)
    with caller, caller.makefile("rwb") as stream, contextlib.suppress(OSError, struct.error):
        stream.read(1)
        while (line := stream.readline().strip()) != b"BEGIN":
            if not line:
                return
            stream.write(_authentication(line))
            stream.flush()
        while head := stream.read(16):
            body, serial, fields = struct.unpack_from("<III", head, 4)
            stream.read(fields + -fields % 8 + body)
            stream.write(reply(serial, version))
            stream.flush()


def _authentication(line: bytes) -> bytes:
    """Who the caller is makes no difference: only what runs in the sandbox can reach this."""
    if line == b"AUTH EXTERNAL":
        return b"DATA\r\n"
    if line.startswith((b"AUTH EXTERNAL ", b"DATA")):
        return b"OK 00000000000000000000000000000000\r\n"
    return b"REJECTED EXTERNAL\r\n" if line.startswith(b"AUTH") else b"ERROR\r\n"


def reply(serial: int, text: str) -> bytes:
    """A method return for the call `serial`: one variant, holding a string."""
    raw = text.encode()
    body = b"\x01s\x00\x00" + struct.pack("<I", len(raw)) + raw + b"\x00"
    # header fields: 5 = reply serial (u), 8 = signature (g)
    fields = b"\x05\x01u\x00" + struct.pack("<I", serial) + b"\x08\x01g\x00\x01v\x00"
    head = b"l\x02\x01\x01" + struct.pack("<III", len(body), serial, len(fields)) + fields
    return head + bytes(-len(head) % 8) + body
