"""What this server shows as the control API: a key of its own and a certificate by the cluster's CA; and the token by
which the agent of this server joins.

Both lie below /run: made at start and anew long before they end. Invariant: each file is replaced in one step; the two
that belong together are taken by `Certificates` only when they do.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from orlop.control.joining import JoinAuthority
from orlop.files import write_atomic
from orlop.model.cluster import token as join_token
from orlop.model.cluster.certificates import MEMBER_LIFE, TOKEN_LIFE, alternative_names, subject
from orlop.model.cluster.names import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Role
from orlop.net.tls import client_context


@dataclass(frozen=True)
class ServerIdentity:
    """`folder`: for the certificate; `token`: the file for the agent; `hosts`: by what this server is asked."""

    folder: Path
    token: Path
    authority: JoinAuthority
    machine: str
    hosts: Sequence[str]

    @property
    def certificate(self) -> Path:
        return self.folder / CERTIFICATE_FILE

    @property
    def key(self) -> Path:
        return self.folder / KEY_FILE

    @property
    def ca(self) -> Path:
        return self.folder / CA_FILE

    async def make(self, now: datetime) -> None:
        """A new key and certificate, and a new token. Raises OrlopError, OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = self.folder / "key.new"
        signer = self.authority.signer
        await signer.ask("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(made))
        public = await signer.ask("pkey", "-in", str(made), "-pubout")
        signed = await signer.sign(
            public, subject(Role.SERVER, self.machine), now, MEMBER_LIFE,
            usages="serverAuth,clientAuth", names=alternative_names(self.hosts),
        )  # fmt: skip
        write_atomic(self.ca, self.authority.pem, mode=0o644)
        write_atomic(self.key, made.read_text(), mode=0o600)
        write_atomic(self.certificate, signed, mode=0o644)
        made.unlink()
        ours = join_token.make(Role.SERVER, now + TOKEN_LIFE, self.authority.certificate, self.authority.key)
        write_atomic(self.token, f"{ours}\n", mode=0o640)


RENEW = timedelta(hours=8)  # also the token's: a third of its life


def store_context(folder: Path) -> ssl.SSLContext:
    """For the store, as a client of this server's own: what orlop-cluster made. Raises OSError."""
    context = client_context((folder / CA_FILE).read_text(), folder / CERTIFICATE_FILE, folder / KEY_FILE)
    context.set_alpn_protocols(["http/1.1"])
    return context
