"""A certificate authority of a cluster: made, and read again. P-256, as everything in a cluster is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from orlop.model.cluster.certificates import BACKDATED, CA_LIFE


@dataclass(frozen=True)
class Authority:
    """PEM texts: `key` is PKCS #8, not encrypted."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Authority(…)"


def make(called: str, now: datetime) -> Authority:
    """A new one, whose certificate's name is `called`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "orlop"), x509.NameAttribute(NameOID.COMMON_NAME, called)]
    )
    usage = {
        field: field in ("key_cert_sign", "crl_sign")
        for field in (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        )
    }
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Authority(certificate.public_bytes(Encoding.PEM).decode(), pem.decode())
