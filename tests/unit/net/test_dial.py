"""Hosts with several addresses, some of which nobody answers: the others are used, in time."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from orlop.net.dial import Patience
from orlop.node.update.blobs.source import source
from orlop.trust.http import fetcher
from simulators import webserver
from simulators.webserver import WebHandler, serving

FILES = {"a.json": b"hello"}
KINDS = ["metadata", "blobs"]
TUNNELLED: list[str] = []


@contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """Where connecting is neither taken nor refused: a listener whose queue is full."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.2", 0))
        listener.listen(0)
        for _ in range(3):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()


def addresses(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int]) -> None:
    def resolve(*_args: Any, **_kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def get(kind: str, url: str, seconds: float, alive: Callable[[], None] = lambda: None) -> bytes:
    """By one of the two clients."""
    if kind == "metadata":
        return fetcher(url, seconds=seconds, alive=alive)("a.json", 20) or b""
    buffer = bytearray(20)
    with closing(source(url, stall=seconds, alive=alive)) as server, closing(server.open("a.json", 0, 20)) as stream:
        return bytes(buffer[: stream.read_into(memoryview(buffer))])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("silent", [1, 4])
def test_an_address_where_nobody_answers_does_not_keep_the_next_from_being_used(
    kind: str, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_address() as nobody, serving(FILES.get) as url:
        port = int(url.rsplit(":", 1)[1].strip("/"))
        addresses(monkeypatch, *[nobody] * silent, ("127.0.0.1", port))
        began = time.monotonic()
        assert get(kind, url, 1.5) == b"hello"
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_many_silent_addresses_take_no_longer_than_one_deadline(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_address() as nobody:
        addresses(monkeypatch, *[nobody] * 4)
        began = time.monotonic()
        with pytest.raises(Exception, match="nothing came in time"):
            get(kind, "http://releases.invalid/", 1)
        assert time.monotonic() - began < 1.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_resolver_that_takes_minutes_is_not_waited_for(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    began = time.monotonic()
    with pytest.raises(Exception, match=r"nobody says where releases\.invalid is"):
        get(kind, "http://releases.invalid/", 0.3)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behave", [webserver.dripping_headers, webserver.dripping])
def test_a_second_address_that_drips_is_bound_by_the_same_deadline(
    kind: str, behave: Callable[[WebHandler, str], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_address() as nobody, serving(FILES.get, behave) as url:
        port = int(url.rsplit(":", 1)[1].strip("/"))
        addresses(monkeypatch, nobody, ("127.0.0.1", port))
        began = time.monotonic()
        with pytest.raises(Exception, match=r"took longer|nothing came in time|bytes a second"):
            get(kind, url, 0.5)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("kind", KINDS)
def test_redirects_begin_no_new_deadline(kind: str) -> None:
    def slow(handler: WebHandler, _path: str) -> bool:
        time.sleep(0.25)
        handler.send_response(302)
        handler.send_header("Location", "a.json")
        handler.end_headers()
        return True

    began = time.monotonic()
    with serving(FILES.get, slow) as url, pytest.raises(Exception, match=r"took longer|nothing came in time"):
        get(kind, url, 0.4)
    assert time.monotonic() - began < 1


def test_patience_is_for_the_whole_and_for_each_silence_and_says_that_it_waits() -> None:
    now, told = [100.0], []
    patience = Patience(40, 30, alive=lambda: told.append(now[0]), clock=lambda: now[0])
    assert patience.wait() == 30
    now[0] = 125
    assert patience.wait() == 15
    now[0] = 125.5
    assert patience.wait() == 14.5
    now[0] = 140
    with pytest.raises(TimeoutError, match="took longer than 40 s"):
        patience.wait()
    patience.begin(None)
    assert patience.wait() == 30
    assert told == [100, 125, 140]


def certificate(folder: Path) -> Path:
    """For localhost, signed by itself; key and all in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "tls.pem"
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path


def tunnel(handler: WebHandler, _path: str) -> bool:
    """A proxy that knows CONNECT alone."""
    TUNNELLED.append(handler.path)
    _, port = handler.path.split(":")
    with socket.create_connection(("127.0.0.1", int(port))) as far:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n")
        both = {far: handler.connection, handler.connection: far}
        while ready := select.select(list(both), [], [], 5)[0]:
            for one in ready:
                data = one.recv(65536)
                if not data:
                    return True
                both[one].sendall(data)
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("proxied", [False, True])
def test_over_tls_directly_and_through_a_proxy(
    kind: str, proxied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WebHandler, "do_CONNECT", WebHandler.do_GET, raising=False)
    TUNNELLED.clear()
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serving(FILES.get, tls=pem) as url, serving(FILES.get, tunnel) as proxy:
        if proxied:
            monkeypatch.setenv("https_proxy", proxy)
        assert get(kind, url.replace("127.0.0.1", "localhost"), 3) == b"hello"
        assert len(TUNNELLED) == proxied
        with pytest.raises(Exception, match="certificate"):
            get(kind, url, 3)
