"""Connections are counted from before their handshake to when they are closed, of all and of each address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from orlop.control.connections import CountedListener, Lost


@pytest.fixture
def door() -> Iterator[CountedListener]:
    with CountedListener(socket.AF_INET, socket.SOCK_STREAM, most=4, most_of_one=3) as made:
        made.bind(("127.0.0.1", 0))
        made.listen(32)
        made.setblocking(False)
        yield made


def accepted(door: CountedListener) -> list[socket.socket]:
    found = []
    while True:
        try:
            found.append(door.accept()[0])
        except BlockingIOError:
            return found


def come(stack: ExitStack, door: CountedListener, source: str, count: int) -> list[socket.socket]:
    where = door.getsockname()
    return [stack.enter_context(socket.create_connection(where, 5, (source, 0))) for _ in range(count)]


def test_those_that_are_too_many_are_closed_and_others_get_in(door: CountedListener) -> None:
    with ExitStack() as stack:
        many = come(stack, door, "127.0.0.1", 6)
        let_in = [stack.enter_context(each) for each in accepted(door)]
        assert len(let_in) == door.count == 3
        with pytest.raises(ConnectionResetError):
            many[-1].recv(1)
        come(stack, door, "127.0.0.2", 3)
        others = accepted(door)
        assert [each.getpeername()[0] for each in others] == ["127.0.0.2"]
        for each in others:
            stack.enter_context(each)
        assert door.count == 4


def test_one_that_is_closed_makes_room_and_is_counted_out_once(door: CountedListener) -> None:
    with ExitStack() as stack:
        come(stack, door, "127.0.0.1", 3)
        first, *others = accepted(door)
        for each in others:
            stack.enter_context(each)
        first.close()
        first.close()
        assert door.count == 2
        come(stack, door, "127.0.0.1", 2)
        more = accepted(door)
        assert len(more) == 1
        stack.enter_context(more[0])
    assert door.count == 0 and not door._of  # an address is not remembered


def test_an_end_is_told_also_to_who_asks_too_late() -> None:
    told: list[int] = []
    lost = Lost()

    def second() -> None:
        told.append(2)

    lost.tell(lambda: told.append(1))
    lost.tell(second)
    lost.forget(second)
    lost.happened()
    lost.tell(lambda: told.append(3))
    assert told == [1, 3]
