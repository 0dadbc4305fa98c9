"""The first good answer is found through silence and refusals, against real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bench.boot import seconds
from bench.boot.seconds import first_answer, now

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD = b"HTTP/1.0 200 OK\r\n\r\nhello"


def answers(*replies: bytes | None, late: float = 0.0) -> tuple[list[float], Handler]:
    """A server that gives each connection the next reply (None: silence, until it is left alone), the last for ever."""
    left = list(replies)
    times: list[float] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        times.append(now())
        reply = left.pop(0) if len(left) > 1 else left[0]
        try:
            if reply is None:
                await reader.read()
            else:
                await asyncio.sleep(late)
                writer.write(reply)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    return times, handle


async def ask(handle: Handler) -> float:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        try:
            return await asyncio.wait_for(first_answer(server.sockets[0].getsockname()[1]), 20)
        finally:
            await settle()


async def settle() -> None:
    """Let the server's own ends of the connections end."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 10)


def test_a_silent_machine_does_not_hold_up_the_next_request() -> None:
    times, handle = answers(None, None, GOOD)
    answered = asyncio.run(ask(handle))
    assert len(times) >= 3
    assert times[0] < answered < times[0] + 2


@pytest.mark.parametrize("bad", [b"HTTP/1.0 503 No\r\n\r\n", b"", b"\r\n", b"200\r\n", b"SSH-2.0-x\r\n"])
def test_what_is_not_a_good_answer_is_not_taken(bad: bytes) -> None:
    times, handle = answers(bad, bad, GOOD)
    assert asyncio.run(ask(handle)) >= times[2]


def test_an_answer_slower_than_the_pace_is_taken() -> None:
    times, handle = answers(GOOD, late=0.35)
    answered = asyncio.run(ask(handle))
    assert answered == pytest.approx(times[0] + 0.35, abs=0.3)


def test_requests_keep_their_pace_while_refused() -> None:
    async def later() -> tuple[float, float]:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        waiting = asyncio.create_task(first_answer(port))
        await asyncio.sleep(0.5)
        _, handle = answers(GOOD)
        started = now()
        server = await asyncio.start_server(handle, "127.0.0.1", port)
        async with server:
            answered = await asyncio.wait_for(waiting, 10)
            await settle()
            return started, answered

    started, answered = asyncio.run(later())
    assert answered - started < 1


def test_a_console_log_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert seconds._read_from(log, 0) == b""
    log.write_bytes(b"abc")
    assert seconds._read_from(log, 0) == b"abc"
    assert seconds._read_from(log, 3) == b""
