"""How a program of ours speaks TLS to another one: by version 1.3, to whom one CA has signed, and to nobody else."""

from __future__ import annotations

import ssl
from pathlib import Path


def client_context(ca: str, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Believes the authority `ca`, a PEM text, and shows `certificate` when there is one.

    Raises ssl.SSLError, an OSError, when a text is not one or the two files do not go together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
