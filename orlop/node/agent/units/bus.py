"""D-Bus, as much of it as hearing of units takes: a connection, calls with texts, signals. Source: the D-Bus
specification 0.43.

Why our own: the runtime has no bindings, and this is the whole of what they would do here. Lifetime: one thread's.
Invariant: no message is believed to be shorter than it says or larger than LARGEST.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orlop.errors import OrlopError

ADDRESS = "/run/dbus/system_bus_socket"
LARGEST = 8 << 20
SECONDS = 10.0
SYSTEMD, MANAGER_PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
_BUS = "org.freedesktop.DBus"
_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY, _DESTINATION, _SENDER, _SIGNATURE = 1, 2, 3, 4, 5, 6, 7, 8
_HEADERS = {_PATH: "o", _INTERFACE: "s", _MEMBER: "s", _DESTINATION: "s", _SIGNATURE: "g"}
_SIZES = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8}
_FORMATS = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}


class BusTrouble(OrlopError):
    """The bus is not there, or says something that is not D-Bus, or refuses."""


@dataclass(frozen=True)
class BusSignal:
    path: str
    member: str


@dataclass(frozen=True)
class ListedUnit:
    """systemd's words."""

    name: str
    load: str
    active: str
    sub: str


class UnitBus:
    """Connected. `fileno` is there to wait on."""

    def __init__(self, address: str = ADDRESS) -> None:
        """Raises BusTrouble."""
        self._serial = 0
        self._signals: list[BusSignal] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(SECONDS)
        try:
            self._socket.connect(address)
            self._authenticate()
            self._call(_BUS, "/org/freedesktop/DBus", _BUS, "Hello")
        except OSError as e:
            self.close()
            raise BusTrouble(f"the system's bus at {address} cannot be reached: {e.strerror or e}") from None
        except BusTrouble:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def subscribe(self) -> None:
        """Hear of units from now on. Raises BusTrouble."""
        rule = f"type='signal',sender='{SYSTEMD}',interface='org.freedesktop.DBus.Properties'"
        self._call(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", f"{rule},path_namespace='{MANAGER_PATH}/unit'")
        self._call(SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe")

    def units(self, names: list[str]) -> list[ListedUnit]:
        """How units are, also those that are not loaded. Raises BusTrouble."""
        if not names:
            return []
        (rows,) = self._call(SYSTEMD, MANAGER_PATH, MANAGER, "ListUnitsByNames", names)
        # one whose turn to start has not come yet is as inactive as one that has ended: its job tells them apart
        return [
            ListedUnit(row[0], row[2], "activating" if row[8] == "start" and row[3] == "inactive" else row[3], row[4])
            for row in rows
        ]

    def signals(self) -> list[BusSignal]:
        """Those that have come; call it when there is something to read. Raises BusTrouble."""
        kind, headers, _ = self._read()
        if kind == _SIGNAL:
            self._signals.append(BusSignal(headers.get(_PATH, ""), headers.get(_MEMBER, "")))
        found, self._signals = self._signals, []
        return found

    def _authenticate(self) -> None:
        who = str(os.geteuid()).encode().hex()
        self._socket.sendall(f"\0AUTH EXTERNAL {who}\r\n".encode())
        said = b""
        while not said.endswith(b"\r\n"):
            piece = self._socket.recv(1)
            if not piece or len(said) > 1000:
                raise BusTrouble("the system's bus ends the connection before it begins")
            said += piece
        if not said.startswith(b"OK "):
            raise BusTrouble("the system's bus does not take this program")
        self._socket.sendall(b"BEGIN\r\n")

    def _call(self, destination: str, path: str, interface: str, member: str, *arguments: Any) -> list[Any]:
        """The answer's values. Signals that come meanwhile are kept. An argument is a text or a list of texts."""
        self._serial += 1
        kinds = "".join("as" if isinstance(each, list) else "s" for each in arguments)
        body = b""
        for argument in arguments:
            body = _texts(body, argument) if isinstance(argument, list) else _text(body, argument)
        headers = {_PATH: path, _INTERFACE: interface, _MEMBER: member, _DESTINATION: destination}
        if kinds:
            headers[_SIGNATURE] = kinds
        try:
            self._socket.sendall(_message(self._serial, headers, body))
            while True:
                kind, found, raw = self._read()
                if kind == _SIGNAL:
                    self._signals.append(BusSignal(found.get(_PATH, ""), found.get(_MEMBER, "")))
                elif found.get(_REPLY) == self._serial and kind == _ERROR:
                    raise BusTrouble(f"{member} is refused: {found.get(_ERROR_NAME)}")
                elif found.get(_REPLY) == self._serial and kind == _RETURN:
                    reader = _BusReader(raw)
                    return [reader.value(each) for each in split_signature(found.get(_SIGNATURE, ""))]
        except OSError as e:
            raise BusTrouble(f"the system's bus does not answer {member}: {e.strerror or e}") from None

    def _read(self) -> tuple[int, dict[int, Any], bytes]:
        try:
            head = self._exactly(16)
            endian, kind, _, version, length, _, fields = struct.unpack("<BBBBIII", head)
            if endian != ord("l") or version != 1 or length > LARGEST or fields > LARGEST:
                raise BusTrouble("the system's bus says something that is not D-Bus")
            padded = (fields + 7) & ~7
            rest = self._exactly(padded + length)
        except OSError as e:
            raise BusTrouble(f"the system's bus does not answer: {e.strerror or e}") from None
        reader = _BusReader(head + rest[:fields], 12)
        headers = {row[0]: row[1] for row in reader.value("a(yv)")}
        return kind, headers, rest[padded:]

    def _exactly(self, count: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < count:
            piece = self._socket.recv(min(count - len(pieces), 1 << 16))
            if not piece:
                raise BusTrouble("the system's bus has ended the connection")
            pieces += piece
        return bytes(pieces)


def _message(serial: int, headers: dict[int, str], body: bytes) -> bytes:
    """A call, little-endian."""
    fields = b""
    for code, value in headers.items():
        fields += b"\0" * (-len(fields) % 8)
        fields += struct.pack("<BB", code, 1) + _HEADERS[code].encode() + b"\0"
        if _HEADERS[code] == "g":
            fields += struct.pack("<B", len(value)) + value.encode() + b"\0"
        else:
            fields = _text(fields, value)
    # the array of fields begins at byte 16, so that its own alignment is the message's
    head = struct.pack("<BBBBIII", ord("l"), _CALL, 0, 1, len(body), serial, len(fields))
    return head + fields + b"\0" * (-len(fields) % 8) + body


def _text(before: bytes, text: str) -> bytes:
    raw = text.encode()
    return before + b"\0" * (-len(before) % 4) + struct.pack("<I", len(raw)) + raw + b"\0"


def _texts(before: bytes, texts: list[str]) -> bytes:
    start = len(before) + (-len(before) % 4)
    made = before + b"\0" * (start - len(before)) + b"\0\0\0\0"
    for text in texts:
        made = _text(made, text)
    return made[:start] + struct.pack("<I", len(made) - start - 4) + made[start + 4 :]


class _BusReader:
    """Values out of bytes, each at its alignment, which counts from the beginning of the bytes."""

    def __init__(self, raw: bytes, at: int = 0) -> None:
        self._raw, self._at = raw, at

    def value(self, kind: str) -> Any:
        first = kind[:1]
        if first in _SIZES:
            return self._number(first)
        if first in ("s", "o"):
            return self._take(self._number("u"))
        if first == "g":
            return self._take(self._number("y"))
        if first == "v":
            return self.value(self._take(self._number("y")))
        if first == "a":
            return self._array(kind[1:])
        if first == "(":
            self._align(8)
            return [self.value(each) for each in split_signature(kind[1:-1])]
        if first == "{":
            self._align(8)
            return tuple(self.value(each) for each in split_signature(kind[1:-1]))
        raise BusTrouble(f"the system's bus sends a value of kind {kind}, which is not read here")

    def _array(self, kind: str) -> list[Any]:
        length = self._number("u")
        if not kind:
            raise BusTrouble("the system's bus sends an array of nothing")
        self._align(8 if kind[0] in "({" else _SIZES.get(kind[0], 1 if kind[0] in "gv" else 4))
        end, found = self._at + length, []
        if end > len(self._raw):
            raise BusTrouble("a message of the system's bus is shorter than it says")
        while (before := self._at) < end:
            found.append(self.value(kind))
            if self._at == before:
                raise BusTrouble("the system's bus sends an array of nothing")
        return found

    def _number(self, kind: str) -> Any:
        self._align(_SIZES[kind])
        try:
            (value,) = struct.unpack_from(f"<{_FORMATS[kind]}", self._raw, self._at)
        except struct.error:
            raise BusTrouble("a message of the system's bus is shorter than it says") from None
        self._at += _SIZES[kind]
        return value

    def _take(self, length: int) -> str:
        raw = self._raw[self._at : self._at + length]
        self._at += length + 1
        return raw.decode(errors="replace")

    def _align(self, size: int) -> None:
        self._at += -self._at % size


def split_signature(signature: str) -> Iterator[str]:
    """Its single complete types. Raises BusTrouble."""
    at = 0
    while at < len(signature):
        end = _end(signature, at)
        yield signature[at:end]
        at = end


def _end(signature: str, at: int) -> int:
    if at >= len(signature):
        raise BusTrouble(f"the system's bus sends a signature that does not end: {signature[:40]}")
    if signature[at] == "a":
        return _end(signature, at + 1)
    if signature[at] not in "({":
        return at + 1
    close = ")" if signature[at] == "(" else "}"
    at += 1
    while at < len(signature) and signature[at] != close:
        at = _end(signature, at)
    return at + 1


def unit_path(name: str) -> str:
    """The object of a unit: what is no letter or digit is written as _ and its number."""
    escaped = "".join(c if c.isascii() and c.isalnum() and not (n == 0 and c.isdigit()) else f"_{ord(c):02x}"
                      for n, c in enumerate(name))  # fmt: skip
    return f"{MANAGER_PATH}/unit/{escaped}"
