"""How a URL is asked for: proxies, logins, and how long a server wants to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import Message

import pytest

from orlop.errors import BadInput
from orlop.net.errors import Overloaded
from orlop.net.route import public, retry_after, route
from orlop.trust.http import fetcher
from simulators.webserver import WebHandler, serving

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# environment, URL, proxy's host and port or None, what the request names
ROUTES = [
    ({}, "http://a/b?c", None, "/b?c"),
    ({"http_proxy": "http://p:3128"}, "http://a/b?c", "p:3128", "http://a/b?c"),
    ({"http_proxy": "p:3128"}, "http://u:x@a/b", "p:3128", "http://a/b"),
    ({"http_proxy": "http://p:3128"}, "https://a/b", None, "/b"),
    ({"https_proxy": "http://p:3128"}, "https://a/b", "p:3128", "/b"),
    ({"all_proxy": "http://p:3128"}, "https://a/b", "p:3128", "/b"),
    ({"http_proxy": "http://p:3128", "no_proxy": "b,a"}, "http://a/b", None, "/b"),
    ({"http_proxy": "http://p:3128", "no_proxy": ".example"}, "http://a.example/b", None, "/b"),
    ({"http_proxy": "http://p:3128", "no_proxy": "*"}, "http://a/b", None, "/b"),
]


@pytest.mark.parametrize(("environment", "url", "proxy", "target"), ROUTES)
def test_routes(
    environment: dict[str, str], url: str, proxy: str | None, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    way = route(url)
    assert (way.proxy.netloc if way.proxy else None) == proxy
    assert way.target == target


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "http://a:b/", "https://a:99999999/", "nonsense"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="is not a valid server address"):
        route(url)


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "https://user:secret@p:3128")
    with pytest.raises(BadInput, match=r"the proxy 'https://p:3128' cannot be used") as e:
        route("http://a/")
    assert "secret" not in str(e.value)
    assert "secret" not in repr(route("https://u:secret@a/").headers) + public("https://u:secret@a/b")


def test_metadata_comes_through_a_proxy_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str | None]] = []

    def proxy(handler: WebHandler, _path: str) -> bool:
        headers = handler.headers
        asked.append((handler.path, headers.get("Proxy-Authorization"), headers.get("Authorization")))
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")
        return True

    with serving(lambda _: None, proxy) as url:
        monkeypatch.setenv("http_proxy", url.replace("//", "//user:p%40ss@"))
        fetch = fetcher("http://login:word@releases.invalid/os/")
        assert fetch("metadata/timestamp.json", 100) == b"{}"
    assert asked == [
        ("http://releases.invalid/os/metadata/timestamp.json", "Basic dXNlcjpwQHNz", "Basic bG9naW46d29yZA==")
    ]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120), (" 0 ", 0), ("9" * 50, 999_999_999), ("Tue, 01 Dec 2026 12:10:00 GMT", 600),
        ("Tue, 01 Dec 2026 11:00:00 GMT", 0), ("soon", None), ("-5", None), ("", None), ("Tue, 99 Foo", None),
        ("1.5", None), ("Tue, 01 Dec 999999 12:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(header: str, seconds: int | None) -> None:
    headers = Message()
    headers["Retry-After"] = header
    headers["Date"] = "Tue, 01 Dec 2026 12:00:00 GMT"
    found = retry_after(headers, datetime(1970, 1, 1, tzinfo=UTC))
    assert found == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_with_too_much_to_do_says_how_long(status: int) -> None:
    def busy(handler: WebHandler, _path: str) -> bool:
        handler.send_response(status)
        handler.send_header("Retry-After", "700")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    with serving(lambda _: None, busy) as url, pytest.raises(Overloaded, match=f"answers {status}") as e:
        fetcher(url)("metadata/timestamp.json", 100)
    assert e.value.after == timedelta(seconds=700)
