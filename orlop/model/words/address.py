"""Addresses that a machine is given: can somebody be asked there at all?

Both the translator of configurations and the machine ask here, so that what the one takes the other can use. Each
function gives the reason for a refusal, or "".
"""

from __future__ import annotations

import re

MAX_URL = 2000  # characters
_PLAIN = re.compile(r"[!-~]*")  # what may be in a request


def web_problem(url: str) -> str:
    """Why nobody can be asked at `http://…` or `https://…`."""
    from urllib.parse import urlsplit  # slow to load, and few configurations have an address

    if not url.startswith(("http://", "https://")):
        return "it must begin with http:// or https://"
    if not _PLAIN.fullmatch(url):
        return "it holds a space or a character beyond ASCII: write a host as xn--…, others as %XX"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "the address in brackets is malformed"
    if not host:
        return "it names no host"
    try:
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return "the port must be a number up to 65535"
    try:
        host.encode("idna")
    except UnicodeError:
        return "a part of the host name is empty or longer than 63 characters"
    return ""


def place_problem(text: str) -> str:
    """Why nothing can be fetched from a web address, `file:///…` or the path of a folder."""
    from urllib.parse import unquote, urlsplit

    if not text.isprintable() or "\0" in unquote(text):
        return "it holds a character that cannot be in a name"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "the address in brackets is malformed"
    if not parts.scheme or (parts.scheme == "file" and parts.netloc in ("", "localhost")):
        return ""
    return web_problem(text)
