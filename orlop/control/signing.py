"""Certificates for machines, signed by the cluster's CA with the `openssl` command in a child.

Why a child: it is half a megabyte of image, 30 ms a certificate, and the key of the CA is in no process that serves.
Nothing is taken from who asks but a public key: name, usages and life are ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orlop.errors import BadInput, OrlopError
from orlop.model.cluster.certificates import BACKDATED
from orlop.model.cluster.token import der

SECONDS = 20.0
LARGEST_KEY = 1024  # characters; a P-256 key has 178
# id-ecPublicKey on prime256v1, as the DER of a public key begins: RFC 5480
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_EXTENSIONS = """\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage={usages}
{names}"""


@dataclass(frozen=True)
class ClusterSigner:
    """Where the authority lies: PEM files that this process may read. `openssl`: how it is started (3.4 or later)."""

    certificate: Path
    key: Path
    openssl: tuple[str, ...] = ("openssl",)

    async def sign(
        self,
        public_key: str,
        subject: str,
        now: datetime,
        life: timedelta,
        *,
        usages: str = "clientAuth",
        names: str = "",
    ) -> str:
        """A certificate in PEM. `subject` as -subj takes it, `names` the value of subjectAltName.

        Raises BadInput when the key is not one of P-256, OrlopError when openssl does not do it.
        """
        key_digest(public_key)
        with tempfile.TemporaryDirectory(prefix="orlop-sign-") as folder:
            work = Path(folder)
            (work / "key").write_text(public_key)
            alternatives = f"subjectAltName={names}\n" if names else ""
            (work / "extensions").write_text(_EXTENSIONS.format(usages=usages, names=alternatives))
            await self.ask(
                *("x509", "-new", "-force_pubkey", str(work / "key"), "-subj", subject),
                *("-CA", str(self.certificate), "-CAkey", str(self.key), "-set_serial", f"0x{_serial()}"),
                *("-not_before", _moment(now - BACKDATED), "-not_after", _moment(now + life)),
                *("-extfile", str(work / "extensions"), "-sha256", "-out", str(work / "made")),
            )
            return (work / "made").read_text()

    async def ask(self, *words: str) -> str:
        """What openssl prints. Raises OrlopError when it fails, or takes too long."""
        process = await asyncio.create_subprocess_exec(
            *self.openssl, *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                out, said = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise OrlopError(f"openssl {words[0]} has not ended within {SECONDS:.0f} s") from None
        if process.returncode:
            raise OrlopError(f"openssl {words[0]} failed: {said.decode(errors='replace').strip()[-300:]}")
        return out.decode()


def key_digest(public_key: str) -> str:
    """The SHA-256 of a public key's DER. Raises BadInput unless it is a point of P-256 in PEM."""
    if len(public_key) > LARGEST_KEY or not re.match(r"-----BEGIN PUBLIC KEY-----", public_key):
        raise BadInput("the public key must be a PEM text that begins with -----BEGIN PUBLIC KEY-----")
    raw = der(public_key)
    if not raw.startswith(_P256) or len(raw) != len(_P256) + 65:
        raise BadInput("the public key must be one of P-256, with its point in full")
    return hashlib.sha256(raw).hexdigest()


def _serial() -> str:
    """Random and positive, at most 20 bytes: RFC 5280, 4.1.2.2."""
    return f"{secrets.randbits(126) | 1:032x}"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%SZ")
