"""The program that QEMU starts for a connection, with a connection."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]


class Client(http.client.HTTPConnection):
    """An HTTP client on a socket that is connected already."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__("169.254.169.254")
        self.sock = sock


@contextmanager
def connected(service: str, file: Path) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with ours, theirs:
        child = subprocess.Popen(
            [sys.executable, "-m", "orlop.lab.metadata.serve", service, "n1", str(file)],
            cwd=REPOSITORY, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=theirs.fileno(),
        )  # fmt: skip
        theirs.close()
        try:
            yield Client(ours), child
        finally:
            ours.close()
            assert child.wait(20) == 0, "it ends with the connection"


def get(client: Client, target: str) -> tuple[int, bytes]:
    client.request("GET", target)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_each_request_is_answered_by_the_file_as_it_is_then(tmp_path: Path) -> None:
    file = tmp_path / "config.ign"
    with connected("openstack", file) as (client, _):
        assert get(client, "/openstack/latest/user_data")[0] == 404
        file.write_bytes(b"one")
        assert get(client, "/openstack/latest/user_data") == (200, b"one")
        file.write_bytes(b"x" * 1_000_000)
        assert get(client, "/openstack/latest/user_data") == (200, b"x" * 1_000_000)


def test_a_token_of_one_connection_holds_in_another(tmp_path: Path) -> None:
    file = tmp_path / "config.ign"
    file.write_bytes(b"data")
    with connected("aws", file) as (client, _):
        client.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        token = client.getresponse().read().decode()
    with connected("aws", file) as (client, _):
        assert get(client, "/latest/user-data")[0] == 401
        client.request("GET", "/latest/user-data", headers={"X-aws-ec2-metadata-token": token})
        assert client.getresponse().read() == b"data"


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\x00" * 500 + b"\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_request_ends_the_connection_at_most(tmp_path: Path, sent: bytes) -> None:
    with connected("web", tmp_path / "none") as (client, _):
        assert client.sock
        client.sock.sendall(sent)
        client.sock.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: client.sock.recv(65536), b"")) if client.sock else b""
        assert b"Traceback" not in said
