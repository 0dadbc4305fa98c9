"""Tokens of an OpenID Connect provider: which are ours to believe, and what somebody who has one is here.

    HEADER.CLAIMS.SIGNATURE   a JSON Web Token (RFC 7519, RFC 7515), three times base64url

`read` takes it apart; `judge` says who it is for all but the signature, which is looked at last, because it costs most;
a key of the provider's set (RFC 7517) becomes what a signature is verified with. Only RS256 and ES256 are taken: `none`
and the HMACs, by which a token could be signed with a public key, are not names of anything here.

Invariant: a token is taken only when issuer, audience, end and beginning fit, and when its claim has a value that the
settings give a role; what is missing or of another type is refused, never guessed. Pure.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orlop.errors import BadInput, NotAllowed
from orlop.model.cluster.access import Access, Caller
from orlop.model.words.line import line
from orlop.model.words.strict import parse_json

LARGEST = 12_288  # characters of a token: groups are many; a request's head has 16 KiB
LEEWAY = timedelta(seconds=60)  # between the provider's clock and ours
VIA = "OpenID Connect token"
# who is in several is the first of these: an auditor is not a weaker operator, but one role is what a caller has
ORDER = (Access.ADMIN, Access.OPERATOR, Access.AUDITOR, Access.VIEWER)
_B64 = r"[A-Za-z0-9_-]+"


@dataclass(frozen=True)
class OidcSettings:
    """`issuer`: as the provider writes itself; `audience`: what it calls this cluster; `claim`: which has what decides
    (parts joined by dots lead into objects), `roles`: its values, by role; `name`: the claim by which people are
    called; `ca`: PEM of the authority of the provider's certificate, "" for those that the system believes.
    """

    issuer: str
    audience: str
    roles: Mapping[Access, tuple[str, ...]]
    claim: str = "groups"
    name: str = "sub"
    ca: str = ""


@dataclass(frozen=True)
class SignedToken:
    """`kid`: which key signed it, "" when it does not say; `signed`: the bytes that it signed."""

    alg: str
    kid: str
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


@dataclass(frozen=True)
class RsaKey:
    modulus: int
    exponent: int


@dataclass(frozen=True)
class EcKey:
    """A point of P-256 in full: 65 bytes."""

    point: bytes


ProviderKey = RsaKey | EcKey


def is_token(text: str) -> bool:
    """Whether it looks like one: a bearer token of ours has no dot."""
    return text.count(".") == 2


def read(token: str) -> SignedToken:
    """Raises BadInput, which does not repeat it."""
    if len(token) > LARGEST:
        raise BadInput(f"the token has more than {LARGEST} characters")
    parts = re.fullmatch(rf"({_B64})\.({_B64})\.({_B64})", token, re.ASCII)
    if parts is None:
        raise BadInput("it is not a JSON Web Token: three parts of base64url, joined by dots")
    header, claims = (_object(parts[n], what) for n, what in ((1, "header"), (2, "claims")))
    if "crit" in header:
        raise BadInput("its header asks for an extension that is not known here (crit)")
    alg, kid = header.get("alg"), header.get("kid", "")
    if alg not in ("RS256", "ES256"):  # a tuple: it may be anything, also what a set could not be asked for
        raise BadInput("it is signed in another way than RS256 or ES256", hint="let the provider sign by one of them")
    if not isinstance(kid, str) or len(kid) > 200:
        raise BadInput("the name of its key (kid) is not text of at most 200 characters")
    return SignedToken(str(alg), kid, claims, f"{parts[1]}.{parts[2]}".encode(), _bytes(parts[3]))


def judge(settings: OidcSettings, claims: Mapping[str, object], now: datetime) -> Caller:
    """Who it is when the signature is good. Raises BadInput (not a token for us), NotAllowed (nobody here)."""
    if claims.get("iss") != settings.issuer:
        raise BadInput(f"its issuer is not {settings.issuer}")
    _audience(settings.audience, claims)
    ends = _moment(claims, "exp", must=True)
    assert ends is not None
    if now >= ends + LEEWAY:
        raise BadInput(
            f"it ended at {ends:%Y-%m-%dT%H:%M:%SZ}, and it is {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} here"
        )
    for name in ("nbf", "iat"):
        begins = _moment(claims, name)
        if begins is not None and now < begins - LEEWAY:
            raise BadInput(f"it is of a later time ({name} {begins:%Y-%m-%dT%H:%M:%SZ}): a clock is off")
    name = _name(settings, claims)
    values = _values(settings.claim, claims)
    for access in ORDER:
        if values & set(settings.roles.get(access, ())):
            return Caller(access, name, VIA, ends + LEEWAY)
    raise NotAllowed(
        f"{name} is in no group that has a role here: none of its {settings.claim} is named in the settings",
        hint="name one in cluster.oidc of the servers' configuration",
    )


def keys_of(raw: bytes) -> dict[str, tuple[str, ProviderKey]]:
    """The keys of a provider's set by their names, each with what it signs by; those of other kinds are left out.

    Raises BadInput when it is no set, or has none that can be used.
    """
    document = parse_json(raw, 1 << 18)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BadInput("the provider's set of keys has no list of keys")
    found: dict[str, tuple[str, ProviderKey]] = {}
    for entry in entries[:64]:
        if isinstance(entry, dict) and entry.get("use", "sig") == "sig" and (key := _key(entry)) is not None:
            alg = "RS256" if isinstance(key, RsaKey) else "ES256"
            if entry.get("alg", alg) == alg and isinstance(kid := entry.get("kid", ""), str):
                found[kid] = (alg, key)
    if not found:
        raise BadInput("the provider's set of keys has none for RS256 or ES256")
    return found


def pem(key: EcKey) -> str:
    """As a program is given it: SubjectPublicKeyInfo of id-ecPublicKey on prime256v1 (RFC 5480)."""
    der = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + key.point
    text = base64.b64encode(der).decode()
    lines = [text[n : n + 64] for n in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def ecdsa_der(signature: bytes) -> bytes:
    """Two numbers of 32 bytes as DER has them. Raises BadInput."""
    if len(signature) != 64:
        raise BadInput("its signature has not the length of one by ES256")
    numbers = b"".join(_der_number(int.from_bytes(half, "big")) for half in (signature[:32], signature[32:]))
    return b"\x30" + bytes([len(numbers)]) + numbers


def rsa_verifies(key: RsaKey, signed_digest: bytes, signature: bytes) -> bool:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2.2): what must come out is made and compared whole, so nothing of
    what did come out is parsed. Only public numbers are in it. `signed_digest`: the SHA-256 of what was signed.
    """
    size = (key.modulus.bit_length() + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key.modulus:
        return False
    info = bytes.fromhex("3031300d060960864801650304020105000420") + signed_digest
    wanted = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    return pow(number, key.exponent, key.modulus).to_bytes(size, "big") == wanted


def _der_number(number: int) -> bytes:
    raw = number.to_bytes((number.bit_length() + 8) // 8 or 1, "big")  # a bit more, so that it is not negative
    return b"\x02" + bytes([len(raw)]) + raw


def _key(entry: Mapping[str, object]) -> ProviderKey | None:
    try:
        if entry.get("kty") == "RSA":
            modulus, exponent = (int.from_bytes(_bytes(str(entry.get(name))), "big") for name in ("n", "e"))
            good = 2048 <= modulus.bit_length() <= 8192 and exponent % 2 == 1 and 65537 <= exponent < 1 << 32
            return RsaKey(modulus, exponent) if good else None
        if entry.get("kty") == "EC" and entry.get("crv") == "P-256":
            x, y = (_bytes(str(entry.get(name))) for name in ("x", "y"))
            return EcKey(b"\x04" + x + y) if len(x) == len(y) == 32 else None
    except BadInput:
        return None
    return None


def _audience(audience: str, claims: Mapping[str, object]) -> None:
    given = claims.get("aud")
    several = given if isinstance(given, list) else [given]
    if audience not in several:
        raise BadInput(f"it is not for {audience}: its audience is another one")
    # OpenID Connect Core, 3.1.3.7: one for several says for whom it was made
    azp = claims.get("azp")
    if (len(several) > 1 and azp is None) or (azp is not None and azp != audience):
        raise BadInput(f"it was made for somebody else than {audience} (azp)")


def _name(settings: OidcSettings, claims: Mapping[str, object]) -> str:
    name = claims.get(settings.name)
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable():
        raise BadInput(f"it does not say by {settings.name} what its owner is called, in 1 to 64 characters")
    if settings.name == "email" and claims.get("email_verified") is not True:
        raise BadInput("the provider has not verified the address of its owner (email_verified)")
    return line(name, 64)


def _values(claim: str, claims: Mapping[str, object]) -> set[str]:
    value: object = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    values = value if isinstance(value, list) else [value]
    return {each for each in values if isinstance(each, str)}


def _moment(claims: Mapping[str, object], name: str, *, must: bool = False) -> datetime | None:
    value = claims.get(name)
    if value is None and not must:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadInput(f"it does not say {name} as a number of seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"its {name} is a time that there is not") from None


def _object(part: str, what: str) -> dict[str, object]:
    value = parse_json(_bytes(part), LARGEST)
    if not isinstance(value, dict):
        raise BadInput(f"its {what} is not a JSON object")
    return value


def _bytes(part: str) -> bytes:
    """Of base64url without its padding. Raises BadInput."""
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadInput("it has a part that is not base64url") from None
