"""Keys and certificates of this server, made by openssl in a child.

Why a child: to make one takes 25 ms and happens once in a month; a library for it would cost this process 17 MB.
openssl is told everything in a file and by options, and takes nothing from /etc. Lifetime of a certificate: it is in a
folder below /run, and is made anew at each boot, when a third of its life is over, or when it is not valid now.

Invariant: in the folder are always a key and a certificate that belong together, for whoever looks at it: etcd reads
both at each handshake. So both are in one folder that a link names, and the link is replaced in one step.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orlop.errors import BadInput, OrlopError
from orlop.files import remove_tree
from orlop.model.cluster.certificates import BACKDATED, MEMBER_LIFE, Life, alternative_names
from orlop.model.cluster.names import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from orlop.model.words.strict import Fields, stamp
from orlop.net.tls import client_context
from orlop.processes import run

# beside the interpreter: in the root of a system container, and where root of the host has it, on nobody's PATH
OPENSSL = str(here) if (here := Path(sys.executable).with_name("openssl")).exists() else "openssl"
SECONDS = 30.0
_STAMP = "%Y%m%d%H%M%SZ"
_ABOUT = "about.json"  # what it was made for, and from when to when it is valid
_MADE = "tls-"  # the beginning of the folders that the link may name
_CONFIG = """\
[req]
distinguished_name = name
[name]
[member]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Signer:
    """An authority: PEM texts."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "Signer(…)"


def ensure(folder: Path, signer: Signer, name: str, hosts: Sequence[str], now: datetime) -> str:
    """See to it that `folder`, a link, has a certificate called `name` for these hosts that is valid for long.

    Returns why a new one was made, "" when none was. Raises CommandFailed, BadInput, NoSpace.
    """
    why = _due(folder, signer, hosts, now)
    if not why:
        return ""
    made = Path(tempfile.mkdtemp(prefix=_MADE, dir=folder.parent))
    try:
        make(made, signer, f"/O=orlop/CN={name}", hosts, now, MEMBER_LIFE)
        (made / CA_FILE).write_text(signer.certificate)
        about = {"hosts": list(hosts), "begins": stamp(now - BACKDATED), "ends": stamp(now + MEMBER_LIFE)}
        (made / _ABOUT).write_text(json.dumps(about))
        made.chmod(0o750)
        for file in made.iterdir():
            file.chmod(0o640)
        link = folder.with_name(f".{folder.name}")
        link.unlink(missing_ok=True)
        link.symlink_to(made.name)
        os.replace(link, folder)
    except BaseException:
        remove_tree(made)
        raise
    for old in folder.parent.glob(f"{_MADE}*"):
        if old.name != made.name:
            remove_tree(old)
    return why


def _due(folder: Path, signer: Signer, hosts: Sequence[str], now: datetime) -> str:
    try:
        about = Fields.of("", json.loads((folder / _ABOUT).read_bytes()))
        if (folder / CA_FILE).read_text() != signer.certificate:
            return "it is of another authority"
        if about.texts("hosts") != list(hosts):
            return "this machine has another address"
        return Life(about.moment("begins"), about.moment("ends")).due(now)
    except FileNotFoundError:
        return "there is none yet"
    except (OSError, ValueError, BadInput) as e:
        return f"the one that is there cannot be read: {e}"


def ends(folder: Path) -> datetime | None:
    """When the certificate in the folder ends; None when there is none."""
    try:
        return Fields.of("", json.loads((folder / _ABOUT).read_bytes())).moment("ends")
    except (OSError, ValueError, BadInput):
        return None


def end_of(pem: str) -> datetime | None:
    """When a certificate ends; None when that is not to be had. Raises CommandFailed."""
    with tempfile.TemporaryDirectory(prefix="openssl-") as work:
        file = Path(work) / "it"
        file.write_text(pem)
        argv: list[str | Path] = [OPENSSL, "x509", "-in", file, "-noout", "-enddate", "-dateopt", "iso_8601"]
        said = run(argv, what="reading a certificate", timeout=SECONDS)
    try:
        return datetime.strptime(said.strip().removeprefix("notAfter="), "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def make(folder: Path, signer: Signer, subject: str, hosts: Sequence[str], now: datetime, life: timedelta) -> None:
    """A new key and a certificate for it, in `folder`. `subject` as -subj takes it. Raises CommandFailed."""
    with tempfile.TemporaryDirectory(prefix="openssl-") as work:
        config, ca, ca_key = (Path(work) / file for file in ("config", "ca.crt", "ca.key"))
        config.write_text(_CONFIG.format(names=alternative_names(hosts)))
        ca.write_text(signer.certificate)
        ca_key.touch(mode=0o600)
        ca_key.write_text(signer.key)
        argv: list[str | Path] = [
            *(OPENSSL, "req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
            *("-config", config, "-extensions", "member", "-subj", subject),
            *("-CA", ca, "-CAkey", ca_key, "-set_serial", f"0x{secrets.randbits(158) | 1:x}"),
            *("-not_before", _at(now - BACKDATED), "-not_after", _at(now + life)),
            *("-keyout", folder / KEY_FILE, "-out", folder / CERTIFICATE_FILE),
        ]
        run(argv, what="making a certificate", timeout=SECONDS, env={"OPENSSL_CONF": str(config)})


def _at(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_STAMP)


def context(folder: Path) -> ssl.SSLContext:
    """For a client of the store, made anew for each: what is in the folder changes. Raises OrlopError."""
    try:
        return client_context((folder / CA_FILE).read_text(), folder / CERTIFICATE_FILE, folder / KEY_FILE)
    except OSError as e:
        raise OrlopError(f"the certificate in {folder} cannot be used: {e}") from None
