"""An OpenID Connect provider on loopback, over TLS: discovery, a set of keys that is rotated, tokens of any content.

Faithful to OpenID Connect Discovery 1.0 and RFC 7517: what it signs it signs with real keys, RS256 or ES256. What may
go wrong is a switch: it is away, answers late, names itself otherwise, shows junk. Lifetime: a `with`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class SimulatedProvider:
    """`asked`: the paths that were asked for. `shown`: the keys that it shows, by their names."""

    issuer: str
    ca: str
    shown: dict[str, Key] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    is_away: bool = False
    calls_itself: str = ""
    junk: bytes | None = None
    delay: float = 0.0

    def rotate(self, kid: str, alg: str = "RS256", *, keep: bool = False) -> Key:
        """Show a new key of this name, alone or beside those that there are."""
        key: Key = rsa.generate_private_key(65537, 2048) if alg == "RS256" else ec.generate_private_key(ec.SECP256R1())
        self.shown = {**(self.shown if keep else {}), kid: key}
        return key

    def token(self, claims: dict[str, Any] | None = None, *, kid: str | None = None, key: Key | None = None,
              header: dict[str, Any] | None = None) -> str:  # fmt: skip
        """Signed by the newest key unless another is named. `claims` are laid over usual ones; None takes one out."""
        kid = kid if kid is not None else next(reversed(self.shown))
        key = key or self.shown[kid]
        now = datetime.now(UTC)
        usual: dict[str, Any] = {
            "iss": self.issuer, "sub": "ada", "aud": "orlop", "groups": ["ops"], "email": "ada@example.com",
            "iat": int(now.timestamp()), "exp": int((now + timedelta(minutes=10)).timestamp()),
        }  # fmt: skip
        body = {name: value for name, value in (usual | (claims or {})).items() if value is not None}
        head = {"typ": "JWT", "alg": "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256", "kid": kid}
        signed = f"{b64(json.dumps(head | (header or {})).encode())}.{b64(json.dumps(body).encode())}"
        return f"{signed}.{b64(_signature(key, signed.encode()))}"

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        time.sleep(self.delay)
        if self.is_away:
            return 503, b"away"
        if self.junk is not None:
            return 200, self.junk
        if path == "/.well-known/openid-configuration":
            about = {"issuer": self.calls_itself or self.issuer, "jwks_uri": f"{self.issuer}/keys",
                     "response_types_supported": ["id_token"], "subject_types_supported": ["public"]}  # fmt: skip
            return 200, json.dumps(about).encode()
        if path == "/keys":
            return 200, json.dumps({"keys": [jwk(kid, key) for kid, key in self.shown.items()]}).encode()
        return 404, b""


@contextmanager
def providing() -> Iterator[SimulatedProvider]:
    """A provider with one key, `k1`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    certificate, key = _certificate()
    with tempfile.TemporaryDirectory(prefix="orlop-oidc-") as folder:
        (file := Path(folder, "both.pem")).write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
    # the handshake is the handler's: one client that says nothing must not keep all others away
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    provider = SimulatedProvider(f"https://127.0.0.1:{server.server_address[1]}", certificate.decode())
    provider.rotate("k1")
    server.provider = provider  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        status, body = self.server.provider.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(kid: str, key: Key) -> dict[str, str]:
    if isinstance(key, rsa.RSAPrivateKey):
        n, e = key.public_key().public_numbers().n, key.public_key().public_numbers().e
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(_number(n)), "e": b64(_number(e))}
    numbers = key.public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": b64(x), "y": b64(y)}


def by_hmac(provider: SimulatedProvider, kid: str) -> str:
    """The old attack: a token whose HMAC is made with the provider's public key, which everybody knows."""
    public = provider.shown[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = provider.token(kid=kid, header={"alg": "HS256"}).rpartition(".")[0]
    return f"{signed}.{b64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


def _signature(key: Key, signed: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _number(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _certificate() -> tuple[bytes, bytes]:
    """Of 127.0.0.1, signed by itself, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), pem
