"""How a URL is asked for over HTTP: of which host, through which proxy, with which login, and where redirects may lead.

The proxy is what the environment names: http_proxy, https_proxy, all_proxy, no_proxy. A login may be in the URL, and in
the proxy's; neither is ever shown.
"""

from __future__ import annotations

import base64
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from orlop.errors import BadInput
from orlop.model.words.address import web_problem

OVERLOADED = (429, 503)
REDIRECTS = (301, 302, 303, 307, 308)
HINT = "check the network, the proxy and the configured servers"


@dataclass(frozen=True)
class Route:
    """`target` is what the request line names. Requests with the same `key` may share a connection."""

    url: SplitResult
    proxy: SplitResult | None
    target: str
    headers: dict[str, str] = field(repr=False)

    @property
    def key(self) -> str:
        return f"{self.url.scheme}://{self.url.netloc} {(self.proxy or self.url).netloc}"

    @property
    def proxy_login(self) -> dict[str, str]:
        return _login("Proxy-Authorization", self.proxy) if self.proxy else {}


def place(url: str) -> str | Path:
    """A web server's address, or a folder: `file:///…` or just its path. Raises BadInput."""
    with suppress(ValueError, BadInput):
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
        if not parts.scheme:
            return Path(url)
        _split(url, "server")
        return url
    shown = url.rpartition("@")[2]
    raise BadInput(f"{shown!r} is nowhere to fetch from", hint="use http://…, https://… or file:///folder")


def redirected(url: str, location: str) -> str:
    """Where a server that is asked for `url` sends one. Raises BadInput, in words that follow "redirects"."""
    try:
        to = urljoin(url, location)
        parts = _split(to, "server")
    except (ValueError, BadInput):
        raise BadInput("to something that is not a valid web address") from None
    if not location or (url.startswith("https:") and parts.scheme != "https"):
        raise BadInput(f"to {public(to)[:200]}, which is not followed")
    return to


def route(url: str, *, direct: bool = False) -> Route:
    """For `http://…` or `https://…`; `direct` without a proxy. Raises BadInput."""
    parts = _split(url, "server")
    proxy = None if direct else _proxy(parts)
    headers = _login("Authorization", parts)
    if proxy is None or parts.scheme == "https":
        return Route(parts, proxy, urlunsplit(("", "", parts.path or "/", parts.query, "")), headers)
    whole = urlunsplit(("http", parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    return Route(parts, proxy, whole, headers | _login("Proxy-Authorization", proxy))


def public(url: str) -> str:
    """Without what may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def retry_after(headers: Message, now: datetime) -> timedelta | None:
    """How long an answer's Retry-After asks to wait: seconds, or a date by the server's own clock if it says that."""
    text = str(headers.get("Retry-After", "")).strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**9))
    at, server = _date(text), _date(str(headers.get("Date", "")))
    return None if at is None else max(timedelta(), at - (server or now))


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _split(url: str, what: str) -> SplitResult:
    if why := web_problem(url):
        raise BadInput(f"{public(url)!r} is not a valid {what} address: {why}", hint=HINT)
    return urlsplit(url)


def _proxy(parts: SplitResult) -> SplitResult | None:
    proxies = urllib.request.getproxies_environment()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxy = _split(address if "://" in address else f"http://{address}", "proxy")
    if proxy.scheme != "http":
        raise BadInput(f"the proxy {public(address)!r} cannot be used", hint="use http://host:port")
    return proxy


def _login(header: str, parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode()}
