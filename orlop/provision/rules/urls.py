"""URLs as Ignition takes them: Go's net/url and a data URL parser, of which we accept a part that both surely accept.

Each check returns the reason for a refusal, or "". Stricter than the originals in: host names in brackets (only
addresses), quoted parameters in data URLs (no escapes).
"""

from __future__ import annotations

import re

SOURCES = ("http", "https", "tftp", "s3", "gs", "data")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=\[\]<>\"]|%[89A-Fa-f][0-9A-Fa-f]|[^\x00-\x7f])*")
_PORT = re.compile(r"(?::[0-9]*)?")
_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\](:[0-9]*)?")

_WORD = r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]"
_PARAM = rf"{_WORD}+=(?:{_WORD}+|\"[ !#-\[\]-~]+\")"
_DATA = re.compile(
    rf"data:(?:(?:[xX]-{_WORD}*|(?:text|image|audio|video|application|message|multipart){_WORD}*)/{_WORD}*)?"
    rf"(?P<params>(?:;{_PARAM})*)(?P<base64>;base64)?,(?P<data>.*)",
    re.DOTALL,
)
_PLAIN_DATA = re.compile(r"[!$%&'()*+,\-./0-9:;=?@A-Z_a-z~]*")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def scheme(url: str) -> str:
    """The scheme in lower case; "" when there is none."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else ""


def parse_problem(url: str) -> str:
    """Why the text is not a valid URL at all."""
    if any(c < " " or c == "\x7f" for c in url):
        return "it holds a control character"
    url, _, fragment = url.partition("#")
    if url.startswith(":"):
        return "it has no scheme"
    match = _SCHEME.fullmatch(url)
    if match is None:
        return "it has no scheme"
    rest = match[2].partition("?")[0]
    if _BAD_ESCAPE.search(fragment):
        return "% is not followed by two hex digits"
    if not rest.startswith("/"):
        return ""
    path = rest
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        reason = _authority_problem(authority)
        if reason:
            return reason
        path = slash + path
    return "% is not followed by two hex digits" if _BAD_ESCAPE.search(path) else ""


def _authority_problem(authority: str) -> str:
    userinfo, _, host = authority.rpartition("@")
    if not _USERINFO.fullmatch(userinfo) or _BAD_ESCAPE.search(userinfo):
        return "the user name in it holds characters that must be escaped"
    if host.startswith("["):
        return "" if _BRACKETS.fullmatch(host) else "the address in brackets is malformed"
    name, colon, port = host.rpartition(":")
    if colon and not _PORT.fullmatch(colon + port):
        return f"the port {port!r} must be a number"
    if not _HOST.fullmatch(name if colon else host):
        return "the host name holds characters that are not allowed there"
    return ""


def source_problem(url: str) -> str:
    """Why Ignition cannot fetch from the URL."""
    if reason := parse_problem(url):
        return reason
    kind = scheme(url)
    if kind not in SOURCES:
        return f"the scheme {kind!r} cannot be fetched; one of: {', '.join(SOURCES)}"
    if kind == "data":
        return data_problem(url)
    if kind == "s3" and _empty_version(url):
        return "versionId is empty"
    return _host_problem(url)


def _host_problem(url: str) -> str:
    """A URL without host cannot be reached; Ignition finds that out only when it boots."""
    match = re.match(r"[^:]+://(?:[^/@?#]*@)?([^/:?#]|\[)", url)
    return "" if match else "it names no host: `scheme://HOST/…`"


def _empty_version(url: str) -> bool:
    from urllib.parse import unquote_plus

    query = url.partition("#")[0].partition("?")[2]
    pairs = (part.partition("=") for part in query.split("&") if ";" not in part)
    return any(unquote_plus(name) == "versionId" and not value for name, _, value in pairs)


def data_problem(url: str) -> str:
    """Why a data URL cannot be decoded."""
    match = _DATA.fullmatch(url)
    if match is None:
        return "it is not a valid data URL: `data:[TYPE][;base64],DATA`"
    if _BAD_ESCAPE.search(match["params"]):
        return "% is not followed by two hex digits"
    data = match["data"]
    if match["base64"]:
        return "" if _BASE64.fullmatch(data) else "what follows ;base64 is not base64 with its padding"
    if not _PLAIN_DATA.fullmatch(data):
        return "its data holds characters that must be escaped as %XX"
    return "% is not followed by two hex digits" if _BAD_ESCAPE.search(data) else ""


def http_problem(url: str) -> str:
    """Why the URL is not one of http or https."""
    if reason := parse_problem(url):
        return reason
    return _host_problem(url) if scheme(url) in ("http", "https") else "it must begin with http:// or https://"
