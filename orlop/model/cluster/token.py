"""The token with which a machine asks to be let into a cluster.

    orlop-join-1.ROLE.ENDS.CA.ID.MAC

ROLE is what it may become; ENDS when the token ends, in seconds since 1970; CA the SHA-256 of the cluster CA's
certificate (DER), by which the machine knows whom it speaks to before it has any certificate; ID tells it from others,
so that it can be revoked; MAC is an HMAC-SHA256 over all before it.

Why no list of tokens: the first ones are made before there is a store. The key of the MAC is derived from the cluster
CA's private key, which every server has and nobody else. A revoked ID is in the store until its token has ended.

Invariant: a token that is altered in any character is refused. How far a machine's clock may be off does not matter:
only servers judge a token's end.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from orlop.errors import BadInput
from orlop.model.cluster.names import Role
from orlop.model.words.strict import stamp

FORMAT = "orlop-join-1"
LARGEST = 300  # characters
_HINT = "give the machine the newest file that `orlop cluster new` or `orlop cluster token` wrote"
_LABEL = b"orlop join token 1\0"


@dataclass(frozen=True)
class Token:
    """`ca`: 64 hexadecimal digits; `id`: 16; `mac`: 64. Its text is secret, all but the id."""

    role: Role
    ends: datetime
    ca: str
    id: str
    mac: str

    def __str__(self) -> str:
        return f"{_signed(self.role, self.ends, self.ca, self.id)}.{self.mac}"

    def __repr__(self) -> str:
        return f"Token({self.role}, {self.id}, ends {stamp(self.ends)})"


def make(role: Role, ends: datetime, ca: bytes, ca_key: bytes, *, ident: str = "") -> Token:
    """A new token. `ca`: the cluster CA's certificate, DER; `ca_key`: its private key, DER; `ends`: whole seconds."""
    ident = ident or secrets.token_hex(8)
    digest = fingerprint(ca)
    ends = ends.astimezone(UTC).replace(microsecond=0)
    return Token(role, ends, digest, ident, _mac(ca_key, _signed(role, ends, digest, ident)))


def parse(text: str) -> Token:
    """What a token says of itself; nothing of it is believed yet. Raises BadInput, which does not repeat it."""
    roles = "|".join(Role)
    pattern = rf"{FORMAT}\.({roles})\.([1-9][0-9]{{0,11}})\.([0-9a-f]{{64}})\.([0-9a-f]{{16}})\.([0-9a-f]{{64}})"
    found = re.fullmatch(pattern, text.strip(), re.ASCII) if len(text) <= LARGEST else None
    if found is None:
        raise BadInput("this is not a join token: it must be one line that begins with orlop-join-1.", hint=_HINT)
    try:
        ends = datetime.fromtimestamp(int(found[2]), UTC)
    except (ValueError, OverflowError, OSError):
        raise BadInput("the token ends at a time that there is not", hint=_HINT) from None
    return Token(Role(found[1]), ends, found[3], found[4], found[5])


def check(token: Token, ca: bytes, ca_key: bytes, now: datetime) -> None:
    """Raise BadInput, with words for who gave it, unless the token was made by this cluster and has not ended.

    Whether it was revoked is in the store, under REVOKED.
    """
    if token.ca != fingerprint(ca):
        raise BadInput("the token is of another cluster: its CA is not this one's", hint=_HINT)
    if not hmac.compare_digest(token.mac, _mac(ca_key, _signed(token.role, token.ends, token.ca, token.id))):
        raise BadInput("the token was not made by this cluster, or was altered", hint=_HINT)
    if now >= token.ends:
        raise BadInput(f"the token ended at {stamp(token.ends)}, and it is {stamp(now)} here", hint=_HINT)


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate (DER), 64 hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def der(pem: str) -> bytes:
    """The bytes of the first block of a PEM text: a certificate or a key. Raises BadInput."""
    found = re.search(r"-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----", pem)
    try:
        raw = base64.b64decode("".join(found[2].split()) if found else "", validate=True)
    except ValueError:
        raw = b""
    if not raw:
        raise BadInput("this is not a PEM text: it must have -----BEGIN …----- and -----END …-----")
    return raw


def _signed(role: Role, ends: datetime, ca: str, ident: str) -> str:
    return f"{FORMAT}.{role}.{int(ends.timestamp())}.{ca}.{ident}"


def _mac(ca_key: bytes, text: str) -> str:
    key = hashlib.sha256(_LABEL + ca_key).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
