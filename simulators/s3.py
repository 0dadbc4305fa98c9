"""S3-style storage in memory, over HTTP: signatures, hashes, conditions and pages as the real ones have them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from orlop.net.s3 import Credentials, authorization
from simulators.httpd import running

WHO = Credentials("AKID", "secret", "token")
PAGE = 3


class Bucket:
    """`objects`: key → (bytes, headers, when); `gets` and `puts`: keys that were read and stored.

    `failures`: statuses to answer with first, one a request. `losses`: so many objects are stored, and 500 answered.

    With `die_after` it takes so many objects more, and then answers nothing to who sends one.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str], datetime]] = {}
        self.failures: list[int] = []
        self.losses = 0
        self.gets: list[str] = []
        self.puts: list[str] = []
        self.die_after: int | None = None

    def age(self, key: str, by: timedelta) -> None:
        """Let an object have been stored so much earlier."""
        body, headers, made = self.objects[key]
        self.objects[key] = (body, headers, made - by)


class S3Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    who: Credentials

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        key = unquote(parts.path).removeprefix("/bucket").removeprefix("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.bucket.die_after is not None and self.command == "PUT":
            if self.bucket.die_after == 0:
                self.close_connection = True
                return  # the connection ends without an answer
            self.bucket.die_after -= 1
        status, found, headers = self._answer(key, query, body)
        if self.command == "PUT" and status == 200 and self.bucket.losses:
            self.bucket.losses -= 1
            status = 500
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found)

    do_HEAD = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _answer(self, key: str, query: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        bucket = self.bucket
        if bucket.failures:
            return bucket.failures.pop(0), b"", {}
        signed = self.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        headers = {name: self.headers[name] for name in signed}
        needed = {"host", "x-amz-date", *(["x-amz-security-token"] if self.who.token else [])}
        wanted = authorization(self.command, urlsplit(self.path).path, query, headers, self.who, "here-1")
        if self.headers["Authorization"] != wanted or not needed <= set(signed):
            return 403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", {}
        if self.command in ("GET", "HEAD"):
            return self._list(query) if "list-type" in query else self._get(key)
        if self.command == "DELETE":
            bucket.objects.pop(key, None)
            return 204, b"", {}
        if hashlib.sha256(body).hexdigest() != self.headers["x-amz-content-sha256"]:
            return 400, b"<Error><Code>XAmzContentSHA256Mismatch</Code></Error>", {}
        if self.headers.get("If-None-Match") == "*" and key in bucket.objects:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
        bucket.puts.append(key)
        kept = {"Cache-Control": self.headers.get("Cache-Control", "")}
        bucket.objects[key] = (body, kept, datetime.now(UTC))
        return 200, b"", {}

    def _get(self, key: str) -> tuple[int, bytes, dict[str, str]]:
        if key not in self.bucket.objects:
            return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
        if self.command == "GET":
            self.bucket.gets.append(key)
        body, headers, made = self.bucket.objects[key]
        return 200, body, {**headers, "Last-Modified": format_datetime(made, usegmt=True)}

    def _list(self, query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        after = query.get("continuation-token", "")
        keys = sorted(k for k in self.bucket.objects if k.startswith(query["prefix"]) and k > after)
        text = "".join(f"<Contents><Key>{escape(k)}</Key></Contents>" for k in keys[:PAGE])
        if len(keys) > PAGE:
            text += f"<NextContinuationToken>{escape(keys[PAGE - 1])}</NextContinuationToken>"
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return 200, f'<ListBucketResult xmlns="{space}">{text}</ListBucketResult>'.encode(), {}

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def storing(who: Credentials = WHO) -> Iterator[tuple[str, Bucket]]:
    """The URL of a bucket, and what is in it; `who` is let in."""
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Storing", (S3Handler,), {"bucket": bucket, "who": who}))
    with running(server) as address:
        yield f"s3://bucket/os?endpoint={address.rstrip('/')}&region=here-1", bucket
