"""Tokens of a provider: what is taken, what is refused and why; the arithmetic, beside the library of the tests."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from orlop.errors import BadInput, NotAllowed, OrlopError
from orlop.model.cluster import oidc
from orlop.model.cluster.access import Access
from orlop.model.cluster.oidc import EcKey, OidcSettings, RsaKey, SignedToken
from simulators.provider import b64, jwk

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
HERE = OidcSettings(
    "https://id.example", "orlop",
    {Access.ADMIN: ("root",), Access.OPERATOR: ("ops",), Access.AUDITOR: ("audit",), Access.VIEWER: ("all", "guests")},
)  # fmt: skip
GOOD: dict[str, Any] = {"iss": "https://id.example", "aud": "orlop", "sub": "ada", "exp": AT + 60, "groups": ["ops"]}
KEY = rsa.generate_private_key(65537, 2048)
NUMBERS = KEY.public_key().public_numbers()


@pytest.mark.parametrize(
    ("groups", "access"),
    [
        (["ops"], Access.OPERATOR),
        ("ops", Access.OPERATOR),
        (["x", "all", "audit"], Access.AUDITOR),
        (["all", "ops", "root", 7], Access.ADMIN),
        (["guests"], Access.VIEWER),
    ],
)
def test_groups_make_roles(groups: object, access: Access) -> None:
    caller = oidc.judge(HERE, GOOD | {"groups": groups}, NOW)
    assert (caller.access, caller.name, caller.via) == (access, "ada", "OpenID Connect token")
    assert caller.until == NOW + timedelta(seconds=120)


def test_a_claim_may_lie_in_an_object_and_a_person_may_be_called_by_another_claim() -> None:
    there = OidcSettings("https://id.example", "orlop", HERE.roles, "realm_access.roles", "email")
    claims = GOOD | {"realm_access": {"roles": ["root"]}, "email": "ada@example.com", "email_verified": True}
    assert oidc.judge(there, claims, NOW).called == "admin ada@example.com"
    with pytest.raises(BadInput, match="not verified the address"):
        oidc.judge(there, claims | {"email_verified": False}, NOW)


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ({"iss": "https://id.example/"}, "its issuer is not https://id.example"),
        ({"iss": None}, "its issuer is not"),
        ({"aud": "other"}, "it is not for orlop"),
        ({"aud": ["other", "orlop"]}, "somebody else"),
        ({"aud": ["other", "orlop"], "azp": "other"}, "somebody else"),
        ({"azp": "other"}, "somebody else"),
        ({"aud": None}, "it is not for orlop"),
        ({"exp": AT - 61}, "it ended at 2026-12-01T11:58:59Z, and it is 2026-12-01T12:00:00Z here"),
        ({"exp": None}, "exp as a number"),
        ({"exp": "never"}, "exp as a number"),
        ({"exp": True}, "exp as a number"),
        ({"exp": 10**30}, "a time that there is not"),
        ({"exp": float("nan")}, "a time that there is not"),
        ({"nbf": AT + 61}, "a clock is off"),
        ({"iat": AT + 3600}, "a clock is off"),
        ({"sub": None}, "what its owner is called"),
        ({"sub": "a\nb"}, "what its owner is called"),
        ({"sub": "x" * 65}, "what its owner is called"),
        ({"groups": ["nobody"]}, "in no group"),
        ({"groups": None}, "in no group"),
        ({"groups": {"ops": 1}}, "in no group"),
        ({"groups": ["OPS"]}, "in no group"),
    ],
)
def test_what_does_not_fit_is_refused_with_words(spoiled: dict[str, Any], said: str) -> None:
    claims = {name: value for name, value in (GOOD | spoiled).items() if value is not None}
    with pytest.raises((BadInput, NotAllowed), match=said):
        oidc.judge(HERE, claims, NOW)


@pytest.mark.parametrize(
    "fine", [{"exp": AT - 59}, {"nbf": AT + 59}, {"aud": ["orlop"]}, {"azp": "orlop"}, {"exp": AT + 0.5}]
)
def test_clocks_may_be_a_minute_apart(fine: dict[str, Any]) -> None:
    assert oidc.judge(HERE, GOOD | fine, NOW).access is Access.OPERATOR


def token(header: object, claims: object = GOOD) -> str:
    return ".".join(b64(json.dumps(each).encode()) for each in (header, claims)) + ".c2ln"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a JSON Web Token"),
        ("a.b", "not a JSON Web Token"),
        ("a.b.c.d", "not a JSON Web Token"),
        ("a.b.", "not a JSON Web Token"),
        ("a.b.c=", "not a JSON Web Token"),
        ("a" * 20_000, "more than"),
        ("a.b.c", "not base64url"),
        (token([1]), "its header is not a JSON object"),
        (token({"alg": "none"}), "another way than RS256 or ES256"),
        (token({"alg": "HS256"}), "another way than RS256 or ES256"),
        (token({"alg": ["RS256"]}), "another way than RS256 or ES256"),
        (token({"alg": "RS256", "crit": ["b64"]}), "crit"),
        (token({"alg": "RS256", "kid": 7}), "kid"),
        (token({"alg": "RS256"}, [1]), "its claims is not a JSON object"),
    ],
)
def test_what_is_no_token_is_refused(text: str, said: str) -> None:
    with pytest.raises(OrlopError, match=said):
        oidc.read(text)


@given(text=st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with suppress(BadInput):
        assert isinstance(oidc.read(text), SignedToken)


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=50), flip=st.integers(0, 2047), flips=st.booleans())
def test_rsa_is_verified_as_the_library_does(data: bytes, flip: int, flips: bool) -> None:
    signature = bytearray(KEY.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    if flips:
        signature[flip // 8] ^= 1 << flip % 8
    found = oidc.rsa_verifies(RsaKey(NUMBERS.n, NUMBERS.e), hashlib.sha256(data).digest(), bytes(signature))
    assert found is not flips


@pytest.mark.parametrize("signature", [b"", b"\0" * 256, b"\xff" * 256, b"\0" * 257, (1).to_bytes(256, "big")])
def test_rsa_signatures_that_are_none(signature: bytes) -> None:
    assert not oidc.rsa_verifies(RsaKey(NUMBERS.n, NUMBERS.e), hashlib.sha256(b"").digest(), signature)


def test_one_padded_with_anything_else_is_none() -> None:
    """What a forger needs of a careless verifier: less padding, something behind the digest."""
    digest, size = hashlib.sha256(b"x").digest(), 256
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    private = KEY.private_numbers()
    for block in (
        b"\0\1" + b"\xff" * 8 + b"\0" + info + b"\0" * (size - 11 - len(info)),
        b"\0\2" + b"\xff" * (size - 3 - len(info)) + b"\0" + info,
        b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest,
    ):
        signature = pow(int.from_bytes(block, "big"), private.d, NUMBERS.n).to_bytes(size, "big")
        assert not oidc.rsa_verifies(RsaKey(NUMBERS.n, NUMBERS.e), digest, signature)


@given(r=st.integers(1, 2**256 - 1), s=st.integers(1, 2**256 - 1))
def test_two_numbers_are_written_as_der(r: int, s: int) -> None:
    assert oidc.ecdsa_der(r.to_bytes(32, "big") + s.to_bytes(32, "big")) == encode_dss_signature(r, s)


def test_keys_of_a_set() -> None:
    point = ec.generate_private_key(ec.SECP256R1())
    good = [jwk("r", KEY), jwk("e", point)]
    left_out: list[Any] = [
        jwk("enc", KEY) | {"use": "enc"}, jwk("alg", KEY) | {"alg": "RS512"}, {"kty": "oct", "k": "AA", "kid": "h"},
        jwk("small", KEY) | {"n": b64(b"\xff" * 128)}, jwk("three", KEY) | {"e": "Aw"},
        jwk("crv", point) | {"crv": "P-384"},
        jwk("short", point) | {"x": "AA"}, {"kty": "RSA", "kid": "none"}, 7, jwk("bad", KEY) | {"n": "==="},
    ]  # fmt: skip
    found = oidc.keys_of(json.dumps({"keys": [*left_out, *good]}).encode())
    assert set(found) == {"r", "e"}
    assert found["r"] == ("RS256", RsaKey(NUMBERS.n, NUMBERS.e))
    key = found["e"][1]
    assert isinstance(key, EcKey)
    public = load_pem_public_key(oidc.pem(key).encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.public_numbers() == point.public_key().public_numbers()


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}'])
def test_a_set_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput):
        oidc.keys_of(raw)
