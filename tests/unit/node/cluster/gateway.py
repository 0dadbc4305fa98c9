"""A gateway of etcd that answers what it is told to, over TLS, to who shows a certificate of its authority."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from orlop.cluster import authority

NOW = datetime.now(UTC)
LOOPBACK = "127.0.0.1"
# zero values are left out, whole numbers of 64 bits are text, bytes are base64
MEMBERS = {
    "header": {"cluster_id": "14841639068965178418", "member_id": "10276657743932975437", "raft_term": "2"},
    "members": [
        {"ID": "10276657743932975437", "name": "n1-c5d89343", "peerURLs": ["https://10.0.0.1:2380"]},
        {"ID": "18249187646912138824", "peerURLs": ["https://10.0.0.2:2380"], "isLearner": True},
    ],
}
STATUS = {
    "header": {"member_id": "10276657743932975437", "revision": "48102", "raft_term": "3"},
    "version": "3.5.16",
    "dbSize": "20480",
    "leader": "10276657743932975437",
    "raftIndex": "120",
    "raftAppliedIndex": "118",
    "dbSizeInUse": "16384",
    "errors": ["memberID:10276657743932975437 alarm:NOSPACE "],
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Gateway(BaseHTTPRequestHandler):
    """Answers what it is told to; keeps what it was asked."""

    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    asked: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body))
        host = self.connection.getsockname()[0]
        status, answer = self.answers.get(f"{host}{self.path}") or self.answers.get(self.path) or (503, {"code": 14})
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def make_certificate(folder: Path) -> None:
    """A member's certificate, as openssl would have made it."""
    folder.mkdir(exist_ok=True)
    ca = authority.make("demo store CA", NOW)
    issuer = x509.load_pem_x509_certificate(ca.certificate.encode())
    signing = load_pem_private_key(ca.key.encode(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=5))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(f"127.0.0.{n}")) for n in range(1, 5)]),
            critical=True,
        )
        .sign(signing, hashes.SHA256())
    )
    (folder / "ca.crt").write_text(ca.certificate)
    (folder / "member.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "member.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@contextmanager
def gateway(folder: Path) -> Iterator[int]:
    """On every loopback address; gives its port."""
    server = ThreadingHTTPServer(("", 0), Gateway)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "member.crt", folder / "member.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Gateway.answers.clear()
    Gateway.asked.clear()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
