"""The local API over a real socket: curl's words, another user's, and nonsense."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orlop.cluster.lock import LockRefused
from orlop.errors import BadInput, Missing, NoSpace, OrlopError
from orlop.model.words.strict import Wrong
from orlop.model.words.version import Version
from orlop.net.local.server import LARGEST, MOST
from orlop.node.update.api.client import ask, the_status
from orlop.node.update.api.server import ApiServer, Handlers
from orlop.node.update.requests import (
    Asked,
    RequestAllow,
    RequestHold,
    RequestRollback,
    RequestUnhold,
    RequestUpdate,
)
from orlop.node.update.slot.device import DiskFault

STATUS = {"format": 1, "denied": [{"version": "20261202.1"}]}


class Machine:
    def __init__(self) -> None:
        self.changes: list[Asked] = []
        self.error: Exception | None = None

    def change(self, asked: Asked) -> dict[str, Any]:
        self.changes.append(asked)
        if self.error:
            raise self.error
        return {"message": "done"}


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def at(tmp_path: Path, machine: Machine) -> Iterator[Path]:
    path = tmp_path / "update.sock"
    server = ApiServer(Handlers(lambda: STATUS, lambda: "orlop_update_held 0\n", machine.change), path)
    path.chmod(0o666)
    tmp_path.chmod(0o755)
    server.start()
    yield path
    server.shutdown()
    server.server_close()


def raw(at: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as to:
        to.settimeout(10)
        to.connect(str(at))
        to.sendall(data)
        found = b""
        while piece := to.recv(65536):
            found += piece
        return found


def test_reading(at: Path) -> None:
    assert the_status(at=at) == STATUS
    assert ask("GET", "/v1/denylist", at=at) == {"denied": STATUS["denied"]}
    answer = raw(at, b"GET /metrics HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"200" in head.split(b"\r\n")[0] and b"Content-Type: text/plain; version=0.0.4" in head
    assert body == b"orlop_update_held 0\n"


def test_changing(at: Path, machine: Machine) -> None:
    assert ask("POST", "/v1/update", {"to": "20261202.1"}, at=at) == {"message": "done"}
    ask("POST", "/v1/hold", {"reason": "why"}, at=at)
    ask("POST", "/v1/unhold", at=at)
    ask("POST", "/v1/rollback", at=at)
    ask("DELETE", "/v1/denylist/20261202.1", at=at)
    assert machine.changes == [
        RequestUpdate(Version.parse("20261202.1")),
        RequestHold("why"),
        RequestUnhold(),
        RequestRollback(),
        RequestAllow(Version.parse("20261202.1")),
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(BadInput("no such", hint="look"), BadInput), (NoSpace("full", hint="look"), OrlopError)],
)
def test_what_the_engine_refuses_comes_back_in_its_words(
    at: Path, machine: Machine, error: OrlopError, kind: type[OrlopError]
) -> None:
    machine.error = error
    with pytest.raises(kind) as caught:
        ask("POST", "/v1/rollback", at=at)
    assert (caught.value.message, caught.value.hint) == (error.message, "look")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput(""), 400),
        (Wrong(""), 400),
        (Missing(""), 404),
        (LockRefused(""), 409),
        (NoSpace(""), 507),
        (DiskFault(""), 502),
        (OrlopError(""), 502),
    ],
)
def test_an_error_has_its_status_and_so_have_those_that_are_of_its_kind(
    at: Path, machine: Machine, error: OrlopError, status: int
) -> None:
    machine.error = error
    assert raw(at, b"POST /v1/rollback HTTP/1.0\r\n\r\n").split()[1] == str(status).encode()


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v2/status", "/v1/allow", "/v1/denylist/", "update"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_paths_that_are_not_there(at: Path, machine: Machine, method: str, path: str) -> None:
    found = raw(at, f"{method} {path} HTTP/1.0\r\n\r\n".encode())
    assert found.split()[1] in (b"404", b"501")
    assert not machine.changes


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 3", b"not"),
        (b"Content-Length: 2", b"[]"),
        (b"Content-Length: x", b""),
        (b"Content-Length: -1", b""),
        (f"Content-Length: {LARGEST + 1}".encode(), b"{}"),
        (b"Content-Length: 100000", b"[" * 100000),
    ],
)
def test_bodies_that_are_none(at: Path, machine: Machine, head: bytes, body: bytes) -> None:
    try:
        found = raw(at, b"POST /v1/hold HTTP/1.0\r\n" + head + b"\r\n\r\n" + body)
    except (ConnectionResetError, BrokenPipeError):  # it did not wait for all of it
        found = b"HTTP/1.0 400 "
    assert found.split()[1] == b"400"
    assert not machine.changes
    assert the_status(at=at) == STATUS


def test_more_connections_than_there_are_places_for(at: Path) -> None:
    idle = []
    for _ in range(MOST):
        to = socket.socket(socket.AF_UNIX)
        to.connect(str(at))
        idle.append(to)
    with pytest.raises(Missing, match="does not answer"):
        the_status(at=at)
    for to in idle:
        to.close()
    for _ in range(200):
        try:
            assert the_status(at=at) == STATUS
            return
        except Missing:
            continue
    raise AssertionError("the places were not given back")


@pytest.mark.parametrize("head", [b"", b"POST /v1/hold HTTP/1.0\r\nContent-Length: 9000\r\n\r\n"])
def test_who_drips_is_given_up(tmp_path: Path, machine: Machine, head: bytes) -> None:
    path = tmp_path / "hasty.sock"
    server = ApiServer(Handlers(lambda: STATUS, lambda: "", machine.change), path, seconds=0.5)
    server.start()
    begun = time.monotonic()
    with socket.socket(socket.AF_UNIX) as to:
        to.connect(str(path))
        to.sendall(head)
        with suppress(BrokenPipeError):
            while time.monotonic() < begun + 20:
                to.send(b" ")
                time.sleep(0.02)
    assert time.monotonic() < begun + 20
    server.shutdown()
    server.server_close()
    assert not machine.changes


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_nobody_else_takes_root_s_places(at: Path) -> None:
    script = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "held = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]\n"
        "for to in held: to.connect(sys.argv[1])\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    for folder in at.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    argv = [sys.executable, "-I", "-c", script, str(at), str(2 * MOST)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline() == b"\n"
        assert the_status(at=at) == STATUS
        other.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else needs root")
def test_only_root_may_change_anything(at: Path, machine: Machine) -> None:
    script = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "for head in (b'POST /v1/rollback', b'DELETE /v1/denylist/20261202.1', b'GET /v1/status'):\n"
        "    to = socket.socket(socket.AF_UNIX); to.connect(sys.argv[1])\n"
        "    to.sendall(head + b' HTTP/1.0\\r\\n\\r\\n'); print(to.recv(100).split()[1].decode())\n"
    )
    place = at
    for folder in at.parents[:-2]:  # pytest's folders are for their owner alone
        folder.chmod(folder.stat().st_mode | 0o011)
    argv = [sys.executable, "-I", "-c", script, str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["403", "403", "200"]
    assert not machine.changes


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_understands_it(at: Path) -> None:
    argv = ["curl", "-sf", "--unix-socket", str(at), "http://localhost/v1/status"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout) == STATUS
