"""A cloud's metadata service that records what it is asked and fails as it is told.

It answers as the lab's own services do (`orlop.lab.metadata`): one implementation of each protocol, so that what is
proven here holds there. Lifetime: a `with` block; requests are served by threads that end with it. `faults` may be set
and changed at any time: of those that match a request, the first with something left is used.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest
from orlop.lab.metadata.serve import MetadataHandler
from orlop.lab.metadata.services import SERVICES

MAX_SECONDS = 60.0  # no request is held longer


@dataclass(frozen=True)
class Recorded:
    """`status` is what was meant to be sent: a fault may have kept it back. `at`: seconds, of the monotonic clock."""

    method: str
    target: str
    headers: Mapping[str, str]
    status: int
    at: float


@dataclass
class Fault:
    """`times`: for how many requests, None for ever; `on`: only where this is part of the target."""

    how: Callable[[FaultyConnection, Answer], None]
    times: int | None = None
    on: str = ""


class FaultyConnection(MetadataHandler):
    simulator: Simulator

    def ask(self, request: MetadataRequest) -> Answer:
        return self.simulator.answer(request)

    def send(self, answer: Answer) -> None:
        fault = self.simulator.take_fault(self.path)
        try:
            if fault is None:
                super().send(answer)
            else:
                fault.how(self, answer)
        except OSError:  # the client has gone
            self.close_connection = True

    def send_rightly(self, answer: Answer) -> None:
        super().send(answer)

    def hold(self, seconds: float) -> None:
        self.simulator.stopping.wait(min(seconds, MAX_SECONDS))


@dataclass
class Simulator:
    """`instance` is the machine that is answered; change it, and the next request is answered by it."""

    service: str
    instance: Instance
    faults: list[Fault] = field(default_factory=list)
    requests: list[Recorded] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    clock: Callable[[], float] = time.time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: MetadataRequest) -> Answer:
        request = MetadataRequest(request.method, request.target, request.headers, self.clock())
        made = SERVICES[self.service](self.instance, request)
        seen = Recorded(request.method, request.target, dict(request.headers), made.status, time.monotonic())
        with self._lock:
            self.requests.append(seen)
        return made

    def take_fault(self, target: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.on in target and fault.times != 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def asked(self, method: str = "GET") -> list[str]:
        """The targets of the requests with this method, in order."""
        with self._lock:
            return [r.target for r in self.requests if r.method == method]


@contextmanager
def serving(
    service: str, user_data: bytes | None, listening: socket.socket | None = None, faults: Sequence[Fault] = ()
) -> Iterator[Simulator]:
    """Serve on `listening`, or on a port of the loopback (`Simulator.port`), until the block is over.

    `faults` hold from the first request on, which whoever is there already may make at once.
    """
    made = Simulator(service, Instance("n1", user_data), list(faults))
    handler = type("Bound", (FaultyConnection,), {"simulator": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=listening is None)
    server.block_on_close = False
    if listening is not None:
        server.socket.close()
        server.socket = listening
    made.port = server.socket.getsockname()[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


# what can go wrong


def no_answer(connection: FaultyConnection, _: Answer) -> None:
    """The connection is there and nothing comes."""
    connection.hold(MAX_SECONDS)
    connection.close_connection = True


def slow(seconds: float) -> Callable[[FaultyConnection, Answer], None]:
    def how(connection: FaultyConnection, answer: Answer) -> None:
        connection.hold(seconds)
        connection.send_rightly(answer)

    return how


def status(code: int) -> Callable[[FaultyConnection, Answer], None]:
    def how(connection: FaultyConnection, _: Answer) -> None:
        connection.send_rightly(Answer(code, b"it does not go well\n", {"Content-Type": "text/plain"}))

    return how


def body(data: bytes) -> Callable[[FaultyConnection, Answer], None]:
    """Another body than the right one: garbage, or very much."""

    def how(connection: FaultyConnection, answer: Answer) -> None:
        connection.send_rightly(Answer(200, data, answer.headers))

    return how


def truncated(connection: FaultyConnection, answer: Answer) -> None:
    """The whole length is announced, half of it is sent."""
    connection.send_response_only(answer.status)
    connection.send_header("Content-Length", str(len(answer.body)))
    connection.end_headers()
    connection.wfile.write(answer.body[: len(answer.body) // 2])
    connection.close_connection = True


def reset(connection: FaultyConnection, _: Answer) -> None:
    """The connection ends with a reset instead of an answer."""
    linger = struct.pack("ii", 1, 0)
    connection.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.connection.close()
    connection.close_connection = True


def first(times: int, how: Callable[[FaultyConnection, Answer], None], on: str = "") -> Fault:
    return Fault(how, times, on)


def always(how: Callable[[FaultyConnection, Answer], None], on: str = "") -> Fault:
    return Fault(how, None, on)


def gaps(requests: list[Recorded]) -> list[float]:
    """The seconds between one request and the next."""
    return [b.at - a.at for a, b in itertools.pairwise(requests)]
