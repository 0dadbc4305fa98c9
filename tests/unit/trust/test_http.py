"""The rim to servers, against real sockets and servers that misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.net.errors import NetError, Unreachable
from orlop.trust.errors import Refused
from orlop.trust.http import fetcher
from simulators import hostile, webserver
from simulators.webserver import WebHandler, serving

FILES = {"a.json": b"hello", "d/b": b"x" * 5000}


def redirecting(to: str) -> Callable[[WebHandler, str], bool]:
    def behave(handler: WebHandler, path: str) -> bool:
        if path != "a.json":
            return False
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()
        return True

    return behave


def answering(status: int) -> Callable[[WebHandler, str], bool]:
    def behave(handler: WebHandler, _path: str) -> bool:
        handler.send_response(status)
        handler.end_headers()
        return True

    return behave


def test_a_file_is_given_whole_or_it_is_not_there() -> None:
    with serving(FILES.get) as url:
        assert fetcher(url)("a.json", 5) == b"hello"
        assert fetcher(url.rstrip("/"))("d/b", 9000) == b"x" * 5000
        assert fetcher(url)("none", 5) is None


def test_a_folder_is_as_good(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"hello")
    for name in (str(tmp_path), f"file://{tmp_path}"):
        assert fetcher(name)("a.json", 5) == b"hello"
        assert fetcher(name)("none/b", 5) is None
        assert fetcher(name)("../a.json", 5) is None
        assert fetcher(name)(f"/{tmp_path}/a.json", 5) is None
        with pytest.raises(Refused, match="longer than the 4 bytes"):
            fetcher(name)("a.json", 4)


@pytest.mark.parametrize("behave", [webserver.behaves, webserver.endless, hostile.minus_one])
def test_more_than_was_asked_for_is_refused(behave: Callable[[WebHandler, str], bool]) -> None:
    with serving(FILES.get, behave) as url, pytest.raises(Refused, match="longer than the 4 bytes"):
        fetcher(url)("a.json", 4)


@pytest.mark.parametrize("behave", [webserver.dripping, webserver.dripping_headers])
def test_a_slow_server_is_given_up_in_time(behave: Callable[[WebHandler, str], bool]) -> None:
    start = time.monotonic()
    with serving(FILES.get, behave) as url, pytest.raises(Unreachable, match=r"took longer|nothing came in time"):
        fetcher(url, seconds=0.4)("a.json", 20)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (webserver.breaking_off, "stopped sending|IncompleteRead"),
        (answering(500), "answers 500"),
        (redirecting("a.json"), "redirects a.json more than 5 times"),
        (redirecting("ftp://127.0.0.1/a.json"), "redirects a.json to something that is not a valid web address"),
    ],
)
def test_what_does_not_come_is_said(behave: Callable[[WebHandler, str], bool], message: str) -> None:
    with serving(FILES.get, behave) as url, pytest.raises(NetError, match=message):
        fetcher(url)("a.json", 20)


@pytest.mark.parametrize("raw", hostile.ANSWERS.values(), ids=hostile.ANSWERS)
def test_whatever_a_server_answers_is_an_error_in_a_few_plain_words(raw: bytes) -> None:
    with hostile.answering(raw) as url, pytest.raises(NetError) as e:
        fetcher(url, seconds=2)("a.json", 4000)
    assert e.value.message.isprintable()
    assert len(e.value.message) < 400


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_a_server_does_not_have(status: int) -> None:
    with serving(FILES.get, answering(status)) as url:
        assert fetcher(url)("a.json", 20) is None


def test_a_redirect_is_followed() -> None:
    with serving(FILES.get, redirecting("d/b")) as url:
        assert fetcher(url)("a.json", 9000) == b"x" * 5000


def test_nobody_is_there() -> None:
    with serving(FILES.get) as url:
        pass
    with pytest.raises(Unreachable, match=r"does not give a.json"):
        fetcher(url)("a.json", 20)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http:///x", "http://h:port/", "http://[", "http://h/\xe9", "http://h/a b"]
)
def test_no_address(url: str) -> None:
    with pytest.raises(BadInput):
        fetcher(url)("a.json", 1)
