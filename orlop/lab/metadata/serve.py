"""Answer the requests of one connection, which is standard input: what QEMU starts when a machine connects.

`python3 -m orlop.lab.metadata.serve SERVICE NAME FILE`, run by the SDK's Python. The connection is a socket; it ends
when the machine, or its QEMU, ends it, or after a while without a request. Nothing is printed: standard output and
standard error are the connection too.
"""

from __future__ import annotations

import socket
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest
from orlop.lab.metadata.services import SERVICES

IDLE_SECONDS = 30.0
MAX_BODY = 65536


class MetadataHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 in, `MetadataRequest`s out, and back. Who uses it says in `ask` what is answered."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def ask(self, request: MetadataRequest) -> Answer:
        raise NotImplementedError

    def send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in {"Date": self.date_time_string(), **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def do_GET(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            return
        self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send(self.ask(MetadataRequest(self.command, self.path, headers, time.time())))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — its name there
        pass


def main(service: str, name: str, file: str) -> None:
    answer = SERVICES[service]

    class Connection(MetadataHandler):
        def ask(self, request: MetadataRequest) -> Answer:
            try:
                data = Path(file).read_bytes()
            except FileNotFoundError:
                data = None
            return answer(Instance(name, data), request)

    with socket.socket(fileno=0) as connection:
        try:
            Connection(connection, ("", 0), None)  # type: ignore[arg-type]  # it is asked nothing of a server
        except OSError:  # the machine has gone
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
