"""D-Bus as the specification has it: a bus of a few lines, written from the specification and not from our reader."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.node.agent.units.bus import (
    BusSignal,
    BusTrouble,
    ListedUnit,
    UnitBus,
    _BusReader,
    split_signature,
    unit_path,
)

Unit = tuple[str, str, str, str, str]  # name, load, active, sub, job


class Writer:
    def __init__(self) -> None:
        self.raw = bytearray()

    def align(self, size: int) -> None:
        while len(self.raw) % size:
            self.raw.append(0)

    def u(self, value: int) -> None:
        self.align(4)
        self.raw += struct.pack("<I", value)

    def s(self, text: str) -> None:
        self.u(len(text.encode()))
        self.raw += text.encode() + b"\0"

    def array(self, alignment: int, write: Callable[[], None]) -> None:
        self.u(0)
        place = len(self.raw) - 4
        self.align(alignment)
        begin = len(self.raw)
        write()
        self.raw[place : place + 4] = struct.pack("<I", len(self.raw) - begin)


def units_body(units: list[Unit]) -> bytes:
    w = Writer()

    def rows() -> None:
        for name, load, active, sub, job in units:
            w.align(8)
            for text in (name, "about it", load, active, sub, ""):
                w.s(text)
            w.s(unit_path(name))
            w.u(7 if job else 0)
            w.s(job)
            w.s("/")

    w.array(8, rows)
    return bytes(w.raw)


def message(kind: int, fields: Mapping[int, tuple[str, object]], body: bytes = b"") -> bytes:
    w = Writer()
    w.raw += struct.pack("<BBBBII", ord("l"), kind, 0, 1, len(body), 9)

    def rows() -> None:
        for code, (signature, value) in fields.items():
            w.align(8)
            w.raw += bytes([code, len(signature)]) + signature.encode() + b"\0"
            if signature == "u":
                assert isinstance(value, int)
                w.u(value)
            elif signature == "g":
                w.raw += bytes([len(str(value))]) + str(value).encode() + b"\0"
            else:
                w.s(str(value))

    w.array(8, rows)
    w.align(8)
    return bytes(w.raw) + body


def signal(path: str) -> bytes:
    fields = {1: ("o", path), 2: ("s", "org.freedesktop.DBus.Properties"), 3: ("s", "PropertiesChanged")}
    return message(4, fields)


@contextmanager
def bus(folder: Path, answers: Callable[[str, int], bytes]) -> Iterator[str]:
    """A bus for one connection. `answers`: from the member and the serial of a call, what is sent."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "bus"))
    server.listen(1)
    server.settimeout(10)

    def serve() -> None:
        connection, _ = server.accept()
        with suppress(ConnectionError), connection, connection.makefile("rb") as reading:
            assert reading.readline().startswith(b"\0AUTH EXTERNAL ")
            connection.sendall(b"OK 1234deadbeef\r\n")
            assert reading.readline() == b"BEGIN\r\n"
            while head := reading.read(16):
                length, serial, fields = struct.unpack("<III", head[4:])
                rest = reading.read(((fields + 7) & ~7) + length)
                known = (b"Hello", b"AddMatch", b"Subscribe", b"ListUnitsByNames")
                member = next(name for name in known if name + b"\0" in rest).decode()
                if (raw := answers(member, serial)) == b"":
                    return
                connection.sendall(raw)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield str(folder / "bus")
    finally:
        server.close()
        thread.join(10)


def plain(units: list[Unit]) -> Callable[[str, int], bytes]:
    def answer(member: str, serial: int) -> bytes:
        if member == "ListUnitsByNames":
            return message(2, {5: ("u", serial), 8: ("g", "a(ssssssouso)")}, units_body(units))
        return message(2, {5: ("u", serial)})

    return answer


def test_units_are_listed_in_systemds_words(tmp_path: Path) -> None:
    rows: list[Unit] = [
        ("web.service", "loaded", "active", "running", ""),
        ("soon.service", "loaded", "inactive", "dead", "start"),
        ("gone.service", "not-found", "inactive", "dead", ""),
    ]
    with bus(tmp_path, plain(rows)) as address:
        there = UnitBus(address)
        there.subscribe()
        assert there.units([row[0] for row in rows]) == [
            ListedUnit("web.service", "loaded", "active", "running"),
            ListedUnit("soon.service", "loaded", "activating", "dead"),
            ListedUnit("gone.service", "not-found", "inactive", "dead"),
        ]
        assert there.units([]) == []
        there.close()


def test_signals_that_come_between_are_not_lost(tmp_path: Path) -> None:
    def answer(member: str, serial: int) -> bytes:
        before = signal(unit_path("web.service")) if member == "ListUnitsByNames" else b""
        return before + plain([])(member, serial) + (signal("/x") if member == "ListUnitsByNames" else b"")

    with bus(tmp_path, answer) as address:
        there = UnitBus(address)
        there.units(["web.service"])
        assert there.signals() == [
            BusSignal(unit_path("web.service"), "PropertiesChanged"), BusSignal("/x", "PropertiesChanged"),
        ]  # fmt: skip
        there.close()


TROUBLE: dict[str, tuple[Callable[[str, int], bytes], str]] = {
    "an error": (lambda _, serial: message(3, {5: ("u", serial), 4: ("s", "org.x.Denied")}), "org.x.Denied"),
    "the end": (lambda *_: b"", "ended the connection"),
    "nonsense": (lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n", "not D-Bus"),
    "a huge message": (lambda *_: struct.pack("<BBBBIII", ord("l"), 2, 0, 1, 1 << 31, 1, 0), "not D-Bus"),
    "a short array": (
        lambda _, serial: message(2, {5: ("u", serial), 8: ("g", "as")}, struct.pack("<I", 1000)),
        "shorter than it says",
    ),
}


@pytest.mark.parametrize(("answer", "said"), TROUBLE.values(), ids=TROUBLE)
def test_trouble_is_said(tmp_path: Path, answer: Callable[[str, int], bytes], said: str) -> None:
    with bus(tmp_path, answer) as address, pytest.raises(BusTrouble, match=said):
        UnitBus(address)


def test_no_bus_is_said(tmp_path: Path) -> None:
    with pytest.raises(BusTrouble, match="cannot be reached"):
        UnitBus(str(tmp_path / "none"))


def test_signatures_and_paths() -> None:
    assert list(split_signature("a(ssssssouso)sa{sv}aas")) == ["a(ssssssouso)", "s", "a{sv}", "aas"]
    assert unit_path("web@1.service").endswith("/unit/web_401_2eservice")
    assert unit_path("1.service").endswith("/unit/_31_2eservice")
    with pytest.raises(BusTrouble):
        list(split_signature("a"))


@given(st.binary(max_size=200), st.sampled_from(["a(ssssssouso)", "a{sv}", "v", "as", "t", "(yv)"]))
def test_any_bytes_are_read_or_refused(raw: bytes, kind: str) -> None:
    try:
        _BusReader(raw).value(kind)
    except (BusTrouble, RecursionError):
        return
