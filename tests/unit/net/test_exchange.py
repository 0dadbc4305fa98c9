"""The one client: what it follows, keeps, tries again, and when it gives up. Servers that lie are in `test_http`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from orlop.net.dial import Patience
from orlop.net.errors import NetError, Overloaded, TooLong, Unreachable
from orlop.net.exchange import FIRST_PAUSE, LONGEST_PAUSE, Client, insist
from simulators.webserver import WebHandler, serving

FILES = {"a": b"hello", "b": b"x" * 5000}


@pytest.fixture
def url() -> Iterator[str]:
    with serving(FILES.get) as url:
        yield url


@pytest.fixture
def client() -> Iterator[Client]:
    with closing(Client(Patience(5.0))) as client:
        yield client


def test_a_body_is_whole_or_an_error(url: str, client: Client) -> None:
    assert client.ask(url + "a").whole(5) == b"hello"
    assert b"".join(client.ask(url + "b").pieces()) == FILES["b"]
    assert client.ask(url + "b").first(3) == b"xxx"
    with pytest.raises(TooLong, match="b is longer than the 4999 bytes"):
        client.ask(url + "b", "b").whole(4999)
    assert not client.ask(url + "none").given()


def test_with_no_redirects_an_answer_that_redirects_is_one_like_any_other() -> None:
    def away(handler: WebHandler, _path: str) -> bool:
        handler.send_response(307)
        handler.send_header("Location", "http://elsewhere.invalid/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    with serving(FILES.get, away) as url, closing(Client(Patience(5.0), redirects=0)) as client:
        assert client.ask(url).status == 307


def test_a_proxy_is_not_asked_for_what_is_near(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with closing(Client(Patience(5.0), direct=True)) as client:
        assert client.ask(url + "a").whole(5) == b"hello"
    with (
        closing(Client(Patience(5.0), "the mirror")) as client,
        pytest.raises(Unreachable, match="the mirror does not answer"),
    ):
        client.ask(url + "a")


@pytest.mark.parametrize(
    ("error", "pauses"),
    [
        (Unreachable("nobody"), [FIRST_PAUSE, FIRST_PAUSE * 4]),
        (Overloaded("later", after=timedelta(seconds=7)), [7.0, 7.0]),
        (Overloaded("much later", after=timedelta(days=7)), [LONGEST_PAUSE, LONGEST_PAUSE]),
        (Overloaded("later"), [FIRST_PAUSE, FIRST_PAUSE * 4]),
    ],
)
def test_what_may_pass_is_tried_again_when_the_server_says_so(error: NetError, pauses: list[float]) -> None:
    slept: list[float] = []
    tries: list[int] = []

    def once() -> None:
        tries.append(1)
        raise error

    with pytest.raises(type(error)):
        insist(once, 3, slept.append)
    assert len(tries) == 3
    assert slept == pytest.approx(pauses)


def test_what_will_not_pass_is_not_tried_again() -> None:
    tries: list[int] = []

    def once() -> int:
        tries.append(1)
        if len(tries) < 2:
            raise Unreachable("nobody")
        raise TooLong("too much")

    with pytest.raises(TooLong):
        insist(once, 9, lambda _: None)
    assert len(tries) == 2
