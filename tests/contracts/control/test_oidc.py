"""People by OpenID Connect: real tokens of a provider that is asked over TLS, its keys rotated, itself away or odd."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from orlop.control.api import stream as streams
from orlop.control.provider import FRESH_SECONDS, KEEP_SECONDS, LEAST_SECONDS, REMEMBER
from orlop.model.cluster.access import Access
from orlop.model.cluster.oidc import OidcSettings
from simulators.provider import SimulatedProvider, by_hmac, providing
from tests.contracts.control.served import Identity, ServedControl, serving
from tests.contracts.control.test_joining import M1, joined
from tests.contracts.control.test_streams import Events

ROLES = {Access.ADMIN: ("root",), Access.OPERATOR: ("ops",), Access.VIEWER: ("all",)}


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with providing() as there:
        yield there


@pytest.fixture
def control(provider: SimulatedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedControl]:
    settings = OidcSettings(provider.issuer, "orlop", ROLES, ca=provider.ca)
    with serving(tmp_path_factory.mktemp("oidc"), settings) as there:
        yield there


def who(control: ServedControl, token: str) -> tuple[int, Any]:
    return control.ask("GET", "/v1/whoami", headers={"Authorization": f"Bearer {token}"})[:2]


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_person_is_who_the_provider_says(control: ServedControl, provider: SimulatedProvider, alg: str) -> None:
    provider.rotate("k", alg)
    joined(control)
    status, said = who(control, provider.token())
    assert (status, said["caller"]) == (200, {"access": "operator", "name": "ada", "via": "OpenID Connect token"})
    asked = {"Authorization": f"Bearer {provider.token()}"}
    assert control.ask("PUT", f"/v1/machines/{M1}/cordon", body={"reason": "disk"}, headers=asked)[0] == 200
    assert control.ask("DELETE", f"/v1/machines/{M1}?reason=x", headers=asked)[0] == 403
    admin = {"Authorization": f"Bearer {provider.token({'groups': ['root', 'all']})}"}
    entries = control.ask("GET", "/v1/audit", headers=admin)[1]["entries"]
    mine = [(e["who"], e["via"], e["what"], e["result"].partition(":")[0]) for e in entries if "ada" in e["who"]]
    assert mine == [
        ("operator ada", "OpenID Connect token", f"cordon {M1}: disk", "done"),
        ("operator ada", "OpenID Connect token", f"DELETE /v1/machines/{M1}", "refused"),
    ]


def test_tokens_that_are_not_taken(control: ServedControl, provider: SimulatedProvider) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    good = provider.token()
    past, far = (int((datetime.now(UTC) + timedelta(hours=h)).timestamp()) for h in (-1, 1))
    for token, said in (
        (provider.token(key=stranger), "its signature is not by the provider's key"),
        (good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"), "its signature is not by"),
        (provider.token(kid="other", key=stranger), "a key that the provider does not show"),
        (by_hmac(provider, "k1"), "another way than RS256 or ES256"),
        (provider.token(header={"alg": "none"}), "another way than RS256 or ES256"),
        (provider.token(header={"alg": "ES256"}), "a key that the provider does not show"),
        (provider.token({"exp": past}), "it ended at"),
        (provider.token({"nbf": far}), "a clock is off"),
        (provider.token({"iss": "https://evil.example"}), "its issuer is not"),
        (provider.token({"aud": "another"}), "it is not for orlop"),
        (provider.token({"groups": ["strangers"]}), "in no group that has a role here"),
        ("a.b.c", "not base64url"),
    ):
        status, body = who(control, token)
        assert (status, said in body["detail"]) == (401, True), body
        assert token not in str(body)
    assert who(control, good)[0] == 200


def test_keys_are_kept_and_rotated(control: ServedControl, provider: SimulatedProvider) -> None:
    for n in range(5):
        assert who(control, provider.token({"sub": f"p{n}"}))[0] == 200
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]  # once for all of them
    old = provider.token({"sub": "late"})
    provider.rotate("k2")
    # a key that nobody knows yet is asked for, but not more often than so, whatever tokens say
    assert who(control, provider.token())[0] == 401
    control.seconds[0] += LEAST_SECONDS + 1
    assert who(control, provider.token())[0] == 200
    assert len(provider.asked) == 4
    for n in range(20):
        assert who(control, provider.token(kid=f"none{n}", key=provider.shown["k2"]))[0] == 401
    assert len(provider.asked) == 4
    assert who(control, old)[0] == 401  # the first key is not shown any more


def test_a_key_that_was_taken_back_is_not_believed_for_long(
    control: ServedControl, provider: SimulatedProvider
) -> None:
    token = provider.token()
    assert who(control, token)[0] == 200
    first = provider.shown["k1"]
    provider.rotate("k2")
    assert who(control, token)[0] == 200  # remembered
    control.seconds[0] += FRESH_SECONDS + 1
    control.now[0] += REMEMBER + timedelta(seconds=1)
    assert who(control, token)[0] == 401
    assert who(control, provider.token(kid="k1", key=first))[0] == 401


def test_a_provider_that_is_away(
    control: ServedControl,
    provider: SimulatedProvider,
) -> None:
    provider.is_away = True
    status, body = who(control, provider.token())
    assert (
        status == 503 and "does not answer" in body["detail"] and "certificates and bearer tokens go on" in body["hint"]
    )
    admin = control.identity("admin", "/O=orlop:admin/CN=ada")
    assert control.ask("GET", "/v1/machines", admin)[0] == 200
    provider.is_away = False
    control.seconds[0] += LEAST_SECONDS + 1
    assert who(control, provider.token())[0] == 200
    provider.is_away = True
    control.seconds[0] += FRESH_SECONDS + 1
    assert who(control, provider.token({"sub": "b"}))[0] == 200  # by the keys that are known
    control.seconds[0] += KEEP_SECONDS
    assert who(control, provider.token({"sub": "c"}))[0] == 503


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"calls_itself": "https://other.example"}, "calls itself by another name"),
        ({"junk": b"<html>"}, "not valid JSON"),
        ({"junk": b"{}"}, "calls itself by another name"),
        ({"junk": b"[" * 3000}, "not valid JSON"),
        ({"junk": b"x" * (1 << 19)}, "bytes"),
        ({"shown": {}}, "has none for RS256 or ES256"),
    ],
)
def test_a_provider_that_is_odd(
    control: ServedControl, provider: SimulatedProvider, spoil: dict[str, Any], said: str
) -> None:
    token = provider.token()
    for name, value in spoil.items():
        setattr(provider, name, value)
    status, body = who(control, token)
    assert status == 503 and said in body["detail"], body


def test_one_with_a_certificate_of_somebody_else_is_not_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    with providing() as provider, providing() as other:
        settings = OidcSettings(provider.issuer, "orlop", ROLES, ca=other.ca)
        with serving(tmp_path_factory.mktemp("oidc"), settings) as control:
            status, body = who(control, provider.token())
            assert status == 503 and "CERTIFICATE_VERIFY_FAILED" in body["detail"]
            assert provider.asked == []


def test_a_stream_ends_with_the_token(
    control: ServedControl, provider: SimulatedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALIVE_SECONDS", 0.2)  # it looks at the time then
    ends = int(time.time()) + 30
    token = provider.token({"exp": ends})
    connection = control.connect()
    connection.request("GET", "/v1/watch/machines", headers={"Authorization": f"Bearer {token}"})
    events = Events(connection, connection.getresponse())
    assert events.next()[0] == "state"
    control.now[0] = datetime.fromtimestamp(ends + 61, UTC)
    name, _, data = events.next()
    assert (name, data["reason"]) == ("bye", "your OpenID Connect token has ended")
    connection.close()


def test_without_a_provider_such_a_token_is_one_that_is_not_known(
    provider: SimulatedProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(tmp_path_factory.mktemp("none")) as control:
        status, body = who(control, provider.token())
        assert status == 401 and "not known here" in body["detail"]
        assert provider.asked == []


def test_bearer_tokens_of_the_cluster_go_on_beside_it(control: ServedControl) -> None:
    admin: Identity = control.identity("admin", "/O=orlop:admin/CN=ada")
    made = control.ask("POST", "/v1/people", admin, {"name": "bob", "access": "viewer", "hours": 1})[1]
    assert who(control, made["token"])[1]["caller"]["name"] == "bob"
