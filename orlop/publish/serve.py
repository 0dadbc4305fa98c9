"""A web server for a repository's folder, to try it with: GET and HEAD, byte ranges, nothing else.

For development: a real one is any web server that serves files. It says of files that never change that they never do,
and of the timestamp that it must be asked for anew, which is what a real one should say too.
"""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

SERVED = ("metadata", "targets", "blobs")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def server(folder: Path, host: str, port: int, *, whole: bool = False, quiet: bool = False) -> ThreadingHTTPServer:
    """A server bound to the address, not yet serving; `whole` serves any file in the folder, as an image's.

    Raises OSError when the address is taken.
    """
    kind = type("Handler", (_Handler,), {"top": folder.resolve(), "whole": whole, "quiet": quiet})
    return ThreadingHTTPServer((host, port), kind)


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """What a Range header asks for, as (first, end); None for a header that is to be ignored (RFC 9110, 14.2).

    An end at or before the first byte says that nothing can be given.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return max(0, size - int(match[2])), size if int(match[2]) else 0
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None
    return first, min(int(match[2]) + 1, size) if match[2] else size


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    top: Path
    whole: bool
    quiet: bool

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = self._path()
        try:
            opened = path.open("rb") if path is not None else None
        except OSError:
            opened = None
        if path is None or opened is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with opened as f:
            self._send(f, path, body=body)

    def _send(self, f: BinaryIO, path: Path, *, body: bool) -> None:
        size = os.fstat(f.fileno()).st_size
        wanted = byte_range(self.headers.get("Range", ""), size)
        first, end = wanted or (0, size)
        if wanted is not None and first >= end:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(HTTPStatus.OK if wanted is None else HTTPStatus.PARTIAL_CONTENT)
        if wanted is not None:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - first))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/json" if path.suffix == ".json" else "application/octet-stream")
        lasting = path.name != "timestamp.json"
        self.send_header("Cache-Control", "public, max-age=31536000, immutable" if lasting else "no-cache")
        self.end_headers()
        if body:
            f.seek(first)
            _copy(f, self.wfile, end - first)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        if not self.quiet:
            super().log_message(format, *args)

    def _path(self) -> Path | None:
        """The file that is asked for, or None when there is none below the folders that are served."""
        parts = unquote(urlsplit(self.path).path).lstrip("/").split("/")
        if not (self.whole or parts[0] in SERVED) or any(p.startswith(".") or p == "" or "\0" in p for p in parts):
            return None
        path = self.top.joinpath(*parts)
        return path if path.is_file() and path.resolve().is_relative_to(self.top) else None


def _copy(source: BinaryIO, out: BufferedIOBase, count: int) -> None:
    while count > 0 and (piece := source.read(min(count, 1 << 20))):
        out.write(piece)
        count -= len(piece)
