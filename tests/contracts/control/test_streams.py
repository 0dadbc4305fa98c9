"""Changes as they come, over TLS: snapshot, resume, expulsion, ends, and those who do not read."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orlop.control.api import stream as streams
from orlop.control.hub import QUEUE
from orlop.control.serve import GRACE_SECONDS
from tests.contracts.control.served import Identity, ServedControl
from tests.contracts.control.test_joining import M1, M2, joined


class Events:
    """The events of a stream, read one at a time."""

    def __init__(self, connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse) -> None:
        self.connection, self.answer = connection, answer

    def next(self) -> tuple[str, int, Any]:
        """Name, id and data; comments are skipped."""
        name, ident, data = "", 0, None
        while True:
            line = self.answer.readline().decode()
            if not line:
                raise EOFError
            match line.rstrip("\n").partition(": "):
                case ("event", _, value):
                    name = value
                case ("id", _, value):
                    ident = int(value)
                case ("data", _, value):
                    data = json.loads(value)
                case ("", _, "") if name:
                    return name, ident, data


@contextmanager
def stream(control: ServedControl, who: Identity, path: str = "/v1/watch/machines", last: int = 0) -> Iterator[Events]:
    connection = control.connect(who)
    try:
        connection.request("GET", path, headers={"Last-Event-ID": str(last)} if last else {})
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-type")) == (200, "text/event-stream")
        yield Events(connection, answer)
    finally:
        connection.close()


def test_what_is_there_then_what_changes(control: ServedControl, admin: Identity) -> None:
    joined(control)
    with stream(control, admin) as events:
        name, start, data = events.next()
        assert name == "state" and data[f"machines/{M1}"]["host"] == "w1"
        control.ask("PUT", f"/v1/machines/{M1}/cordon", admin, {"reason": "disk"})
        name, second, data = events.next()
        assert (name, data["key"], data["value"]["cordoned"]) == ("put", f"machines/{M1}", "disk") and second > start
        control.ask("DELETE", f"/v1/machines/{M1}?reason=old", admin)
        assert events.next()[::2] == ("gone", {"key": f"machines/{M1}"})
    with stream(control, admin, last=second) as events:
        assert events.next()[0] == "gone"  # what was missed, and nothing twice
    with stream(control, admin, last=10**6) as events:
        assert events.next()[0] == "state"  # a revision that has not been: all anew


def test_a_machine_is_told_of_itself_alone_and_of_its_end(control: ServedControl, admin: Identity) -> None:
    machine = joined(control)
    joined(control, M2)
    with stream(control, machine, f"/v1/watch/machines/{M1}") as events:
        assert list(events.next()[2]) == [f"machines/{M1}"]
        control.ask("PUT", f"/v1/machines/{M2}/cordon", admin, {"reason": "disk"})
        control.ask("PUT", f"/v1/machines/{M1}/cordon", admin, {"reason": "fan"})
        assert events.next()[2]["key"] == f"machines/{M1}"
        asked = time.monotonic()
        control.ask("DELETE", f"/v1/machines/{M1}?reason=stolen", admin)
        names = []
        with contextlib.suppress(EOFError):
            while True:
                names.append(events.next()[0])
        assert names[-1] == "bye" and time.monotonic() - asked < 15
    assert control.ask("GET", f"/v1/watch/machines/{M1}", machine)[0] == 403


def test_a_stream_ends_with_the_certificate(control: ServedControl) -> None:
    late = control.identity("late", "/O=orlop:viewer/CN=eve", life=timedelta(seconds=60))
    control.now[0] = datetime.now(UTC) + timedelta(seconds=58.5)
    with stream(control, late) as events:
        assert events.next()[0] == "state"
        control.now[0] += timedelta(seconds=2)
        name, _, data = events.next()
        assert (name, data["reason"]) == ("bye", "your certificate has ended")


def test_it_says_that_it_is_alive_and_when_to_come_back(
    control: ServedControl, admin: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the wire, as WHATWG HTML 9.2 has it: a comment while nothing happens; an end that has a name and a pause."""
    monkeypatch.setattr(streams, "ALIVE_SECONDS", 0.2)
    with stream(control, admin) as events:
        lines = [events.answer.readline() for _ in range(8)]
        assert lines[0] == b"event: state\n" and lines[1].startswith(b"id: ") and lines[2].startswith(b"data: {")
        assert lines[3:] == [b"\n", b": alive\n", b"\n", b": alive\n", b"\n"]
        control.end()
        rest = events.answer.read().decode()
    end = [line for line in rest.splitlines() if line and not line.startswith(":")]
    assert 500 <= int(end[0].removeprefix("retry: ")) <= 2000
    assert end[1:] == ["event: bye", 'data: {"reason":"this server stops"}']


def test_one_that_comes_back_after_a_gap_has_missed_nothing(control: ServedControl, admin: Identity) -> None:
    """Cut off without a word, again and again, while another one changes things: each change is told once, in order."""
    joined(control)
    seen, last = list[tuple[str, str]](), 0
    for n in range(12):
        with stream(control, admin, last=last) as events:
            if not last:
                name, last, _ = events.next()
                assert name == "state"
            for _ in range(n % 3):
                control.ask("PUT", f"/v1/machines/{M1}/cordon", admin, {"reason": f"r{len(seen)}"})
                name, last, data = events.next()
                seen.append((name, data["value"]["cordoned"]))
        # while it is away
        control.ask("PUT", f"/v1/machines/{M1}/cordon", admin, {"reason": f"r{len(seen)}"})
        with stream(control, admin, last=last) as events:
            name, last, data = events.next()
            seen.append((name, data["value"]["cordoned"]))
    assert seen == [("put", f"r{n}") for n in range(len(seen))] and len(seen) == 24


def test_one_caller_has_so_many_streams_and_others_have_theirs(control: ServedControl, admin: Identity) -> None:
    viewer = control.identity("viewer", "/O=orlop:viewer/CN=vic")
    with contextlib.ExitStack() as stack:
        for _ in range(streams.STREAMS_EACH):
            stack.enter_context(stream(control, viewer))
        status, body, headers = control.ask("GET", "/v1/watch/machines", viewer)
        assert status == 429 and "16 streams open" in body["detail"] and headers["retry-after"]
        with stream(control, admin) as events:
            assert events.next()[0] == "state"
    until = time.monotonic() + 5
    while control.hub.listeners:
        assert time.monotonic() < until
        time.sleep(0.02)
    with stream(control, viewer) as events:
        assert events.next()[0] == "state"


def test_a_server_that_stops_says_so_at_once(control: ServedControl, admin: Identity) -> None:
    with stream(control, admin) as events, stream(control, admin) as others:
        assert events.next()[0] == others.next()[0] == "state"
        asked = time.monotonic()
        control.end()
        assert events.next()[::2] == others.next()[::2] == ("bye", {"reason": "this server stops"})
    control.stop()
    assert time.monotonic() - asked < GRACE_SECONDS  # it has not waited for them


def test_one_that_does_not_read_is_let_go(control: ServedControl, admin: Identity) -> None:
    joined(control)
    connection = control.connect(admin)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.request("GET", "/v1/watch/machines")
    assert connection.getresponse().status == 200
    until = time.monotonic() + 10
    while not control.hub.listeners and time.monotonic() < until:
        time.sleep(0.01)
    (slow,) = (listener for listener in control.hub._listeners if listener.most == QUEUE)
    for n in range(QUEUE * 40):
        control.do(_churn(control, n))
        if slow.overrun:
            break
    assert slow.overrun
    connection.close()
    until = time.monotonic() + 10
    while control.hub.listeners and time.monotonic() < until:
        time.sleep(0.05)
    assert not control.hub.listeners


async def _churn(control: ServedControl, n: int) -> None:
    from orlop.model.cluster.names import MACHINES
    from orlop.store.protocol import Put

    await control.store.commit([Put(f"{MACHINES}{M2}", json.dumps({"n": n, "much": "x" * 4000}).encode())])


def test_a_new_certificate_is_shown_and_half_a_pair_is_not(control: ServedControl, admin: Identity) -> None:
    from tests.contracts.control.served import PrivateKey

    def shown() -> bytes:
        connection = control.connect(admin)
        connection.connect()
        try:
            return connection.sock.getpeercert(binary_form=True) or b""
        finally:
            connection.close()

    first = shown()
    key = PrivateKey()
    control.certificates.key.write_bytes(key.pem)
    assert not control.certificates.reload()
    assert shown() == first
    made = control.identity("renewed", "/O=orlop:server/CN=s1", key=key)
    # as the other file arrives: signed for the same names as before
    import asyncio

    text = asyncio.run(control.signer.sign(key.public, "/O=orlop:server/CN=s1", datetime.now(UTC), timedelta(days=1),
                                           usages="serverAuth", names="IP:127.0.0.1"))  # fmt: skip
    control.certificates.certificate.write_text(text)
    assert made.certificate.exists() and control.certificates.reload()
    assert shown() != first
