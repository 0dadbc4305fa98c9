"""The machine's key and its certificate: made once, kept on its disk, renewed.

The key never leaves the machine. Made by openssl in a child, as a server's keys are (orlop.node.cluster.tls).
Invariant: a certificate is written whole or not at all; the key is written before anybody is told of it.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import write_atomic
from orlop.model.cluster.certificates import Life
from orlop.net.tls import client_context
from orlop.processes import run

SECONDS = 30.0
KEY, CERTIFICATE, CA = "machine.key", "machine.crt", "ca.crt"
CAME_BY = "token-id"


@dataclass(frozen=True)
class MachineKeys:
    """`folder` is the agent's own, on the disk. `openssl`: how it is started."""

    folder: Path
    openssl: tuple[str, ...] = ("openssl",)

    @property
    def has_certificate(self) -> bool:
        return all((self.folder / name).exists() for name in (KEY, CERTIFICATE, CA))

    def public_key(self) -> str:
        """Of the machine's key, which is made when there is none. Raises CommandFailed, NoSpace, OSError."""
        path = self.folder / KEY
        if not path.exists():
            made = self.folder / f".{KEY}"
            words = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(made))
            self._openssl("genpkey", *words)  # openssl makes it readable by its owner only
            write_atomic(path, made.read_text(), mode=0o600)
            made.unlink()
        return self._openssl("pkey", "-in", str(path), "-pubout")

    def keep(self, certificate: str, ca: str) -> None:
        """Raises NoSpace, OSError."""
        write_atomic(self.folder / CA, ca, mode=0o644)
        write_atomic(self.folder / CERTIFICATE, certificate, mode=0o644)

    def remember(self, token: str) -> None:
        """The id of the token that it came in by."""
        write_atomic(self.folder / CAME_BY, f"{token}\n", mode=0o600)

    def came_by(self) -> str:
        try:
            return (self.folder / CAME_BY).read_text().strip()
        except OSError:
            return ""

    def forget(self) -> None:
        """Give the identity up: the next join is with a new key."""
        for name in (CERTIFICATE, KEY, CA):
            (self.folder / name).unlink(missing_ok=True)

    def context(self) -> ssl.SSLContext:
        """For connections that show the certificate. Raises BadInput when it and the key do not go together."""
        try:
            ca = (self.folder / CA).read_text()
            return client_context(ca, self.folder / CERTIFICATE, self.folder / KEY)
        except OSError as e:
            raise BadInput(f"the machine's certificate cannot be used: {e}") from None

    def life(self) -> Life:
        """Raises CommandFailed, BadInput."""
        said = self._openssl("x509", "-in", str(self.folder / CERTIFICATE), "-noout", "-dates")
        dates = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        try:
            begins, ends = (
                datetime.fromtimestamp(ssl.cert_time_to_seconds(dates[name]), UTC) for name in ("notBefore", "notAfter")
            )
        except (KeyError, ValueError):
            raise BadInput("the machine's certificate has no dates that can be read") from None
        return Life(begins, ends)

    def _openssl(self, *words: str) -> str:
        return run([*self.openssl, *words], what="asking openssl for the machine's key", timeout=SECONDS)


def trusting(ca: str) -> ssl.SSLContext:
    """Believes this CA and no other. Raises BadInput."""
    try:
        return client_context(ca)
    except OSError:
        raise BadInput("the certificate of the cluster's CA cannot be read") from None
