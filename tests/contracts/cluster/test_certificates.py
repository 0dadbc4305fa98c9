"""What openssl makes of our requests, read by another library: the image's own openssl is Debian's, as the SDK's is."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from orlop.cluster import authority
from orlop.model.cluster.certificates import MEMBER_LIFE
from orlop.node.cluster import tls
from orlop.node.cluster.tls import Signer

pytestmark = pytest.mark.sdk
NOW = datetime.now(UTC).replace(microsecond=0)
HOSTS = ("127.0.0.1", "n1")


@pytest.fixture
def signer() -> Signer:
    made = authority.make("demo store CA", NOW)
    return Signer(made.certificate, made.key)


def _certificate(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "member.crt").read_bytes())


def test_certificate_is_what_etcd_needs(tmp_path: Path, signer: Signer) -> None:
    assert tls.ensure(tmp_path / "store", signer, "n1-0f", HOSTS, NOW) == "there is none yet"
    made = _certificate(tmp_path / "store")
    ca = x509.load_pem_x509_certificate(signer.certificate.encode())
    made.verify_directly_issued_by(ca)
    assert made.subject.rfc4514_string() == "CN=n1-0f,O=orlop"
    # its gateway dials etcd itself with the server's certificate
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "n1"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (NOW - timedelta(minutes=5), NOW + MEMBER_LIFE)
    assert made.serial_number.bit_length() > 100
    for file in (tmp_path / "store").iterdir():
        assert file.stat().st_mode & 0o007 == 0


def test_it_is_made_anew_when_it_is_due_and_only_then(tmp_path: Path, signer: Signer) -> None:
    folder = tmp_path / "store"
    tls.ensure(folder, signer, "n1", HOSTS, NOW)
    first = _certificate(folder)
    assert tls.ensure(folder, signer, "n1", HOSTS, NOW + timedelta(days=29)) == ""
    assert _certificate(folder) == first
    for later, said in (
        (timedelta(days=30), "a third of its life is over"),
        (timedelta(days=400), "it ended at"),
        (timedelta(days=-3650), "the clock was set back"),
    ):
        assert said in tls.ensure(folder, signer, "n1", HOSTS, NOW + later)
        assert tls.ends(folder) == NOW + later + MEMBER_LIFE
        assert len(list(tmp_path.glob("tls-*"))) == 1
    assert "another address" in tls.ensure(folder, signer, "n1", ("127.0.0.2",), NOW - timedelta(days=3650))
    other = authority.make("another", NOW)
    assert "another authority" in tls.ensure(
        folder, Signer(other.certificate, other.key), "n1", ("127.0.0.2",), NOW - timedelta(days=3650)
    )


def test_both_sides_take_each_other_and_nobody_else(tmp_path: Path, signer: Signer) -> None:
    tls.ensure(tmp_path / "store", signer, "n1", HOSTS, NOW)
    stranger = authority.make("demo store CA", NOW)
    (tmp_path / "other").mkdir()
    tls.ensure(tmp_path / "other/store", Signer(stranger.certificate, stranger.key), "n1", HOSTS, NOW)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "store/member.crt", tmp_path / "store/member.key")
    server.load_verify_locations(tmp_path / "store/ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    assert _greets(server, tls.context(tmp_path / "store"))
    assert not _greets(server, tls.context(tmp_path / "other/store"))


def _greets(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    ours, theirs = socket.socketpair()
    said: list[bytes] = []

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as s:
                s.sendall(b"welcome")
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname="127.0.0.1") as s:
            said.append(s.recv(10))
    except OSError:
        pass
    thread.join(10)
    return said == [b"welcome"]
