"""What a server can write into one answer to harm whoever asks: raw answers, each with a name.

Whoever asks must end each with an error that lets another server be asked, in bounded time and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from simulators.webserver import WebHandler, serving

_LOCATIONS = {
    "a bracket": b"http://[",
    "half an address of version 6": b"//[::1/",
    "an empty label": b"http://a..b/",
    "a label without measure": b"http://" + b"a" * 70 + b"/",
    "a control character as a host": b"http://\x7f/",
    "a control character as a path": b"http://127.0.0.1/\x01",
    "a space": b"http://127.0.0.1/a b",
    "no ASCII": b"http://127.0.0.1/\xe9",
    "no ASCII in the host": b"http://\xe9\xff/",
    "a port that is none": b"http://127.0.0.1:99999/",
    "a port without measure": b"http://127.0.0.1:" + b"9" * 5000 + b"/",
    "a port of letters": b"http://127.0.0.1:http/",
    "another scheme": b"ftp://127.0.0.1/",
    "a file": b"file:///etc/passwd",
    "no host": b"http:///",
    "nothing": b"",
    "a folded line": b"http://127.0.0.1/\r\n b",
}
_MANY = b"9" * 5000

ANSWERS: dict[str, bytes] = {
    **{
        f"a redirect to {name}": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + b"\r\n\r\n"
        for name, to in _LOCATIONS.items()
    },
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "a range without measure": b"HTTP/1.1 206 P\r\nContent-Length: 9\r\nContent-Range: bytes " + _MANY + b"-/9\r\n\r\n",
    "a length without measure": b"HTTP/1.1 200 OK\r\nContent-Length: " + _MANY[:4000] + b"\r\n\r\n",
    "a chunk without measure": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a status without measure": b"HTTP/1.1 " + _MANY + b" OK\r\n\r\n",
    "a status that is none": b"HTTP/1.1 OK\r\n\r\n",
    "a status of 0": b"HTTP/1.1 000 OK\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "a version that is none": b"HTTP/9.9 200 OK\r\n\r\n",
    "a reason to look at": b"HTTP/1.1 500 \x1b[2J\xff\r\nContent-Length: 0\r\n\r\n",
    "a line without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "headers without measure": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    "a wait without measure": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: " + _MANY + b"\r\n\r\n",
    "a wait until no day": b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: Tue, 99 Dec " + _MANY + b"\r\n\r\n",
    "a wrong byte, and no more": b"HTTP/1.1 200 OK\r\nContent-Length: 20480\r\n\r\n{",
    "a part of a wrong block": b"HTTP/1.1 200 OK\r\nContent-Length: 20480\r\n\r\n" + b"{" * 3000,
    "nothing at all": b"",
}


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """The URL of a server that answers this to everything, and closes."""

    def behave(handler: WebHandler, _path: str) -> bool:
        with suppress(OSError):  # it may have heard enough
            handler.wfile.write(raw)
        return True

    with serving(lambda _: None, behave) as url:
        yield url


def minus_one(handler: WebHandler, _path: str) -> bool:
    """A chunk that is -1 bytes long, and has no end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
    with suppress(OSError):
        while True:
            handler.wfile.write(b" " * 65536)
    return True
