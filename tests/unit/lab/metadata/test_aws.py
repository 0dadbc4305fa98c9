from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.lab.metadata import aws
from orlop.lab.metadata.http import Answer, Instance
from tests.unit.lab.metadata.asking import BARE, N1, NOW, ask


def put(ttl: str | None, **headers: str) -> Answer:
    if ttl is not None:
        headers[aws.TTL_HEADER] = ttl
    return ask("aws", "/latest/api/token", headers, method="PUT")


def get(target: str, *, instance: Instance = N1, token: str | None = None, now: float = NOW) -> Answer:
    given = aws.make_token(instance, NOW + 60) if token is None else token
    return ask("aws", target, {aws.TOKEN_HEADER: given}, instance=instance, now=now)


def test_a_token_is_had_by_put_and_opens_the_rest() -> None:
    made = put("60")
    assert (made.status, made.headers[aws.TTL_HEADER], len(made.body)) == (200, "60", 56)
    assert get("/latest/user-data", token=made.body.decode()).body == N1.user_data


@pytest.mark.parametrize("ttl", [None, "", "0", "21601", "-1", "1.5", "x", "٣", "1 "])
def test_a_ttl_must_be_a_number_of_seconds_up_to_six_hours(ttl: str | None) -> None:
    assert put(ttl).status == 400


def test_what_comes_through_a_proxy_gets_no_token() -> None:
    assert put("60", **{"X-Forwarded-For": "10.0.0.1"}).status == 403


def test_a_token_is_not_had_by_other_methods() -> None:
    for method in ("GET", "POST", "DELETE"):
        assert ask("aws", "/latest/api/token", method=method).status == 405
    assert ask("aws", "/latest/user-data", method="POST").status == 405


@pytest.mark.parametrize("target", ["/", "/latest/user-data", "/latest/meta-data/instance-id", "/nothing"])
def test_without_a_token_nothing_is_told(target: str) -> None:
    assert ask("aws", target).status == 401


@given(st.text(max_size=80))
def test_no_other_text_is_a_token(text: str) -> None:
    assert not aws.is_token(N1, text, NOW)


def test_a_token_ends_and_is_one_machines() -> None:
    token = aws.make_token(N1, NOW + 60)
    assert get("/latest/user-data", token=token, now=NOW + 59).status == 200
    assert get("/latest/user-data", token=token, now=NOW + 60).status == 401
    assert not aws.is_token(Instance("n2", None), token, NOW)
    assert not aws.is_token(Instance("n1", None, b"another secret"), token, NOW)
    longer = aws.make_token(N1, NOW + 600)[:12] + token[12:]
    assert not aws.is_token(N1, longer, NOW)


@pytest.mark.parametrize("version", ["2009-04-04", "2016-09-02", "2019-10-01", "latest"])
def test_versions(version: str) -> None:
    assert get(f"/{version}/user-data").body == N1.user_data
    assert version in get("/").body.decode().split("\n")
    assert get("/2019-10-02/user-data").status == 404


def test_no_user_data() -> None:
    assert get("/2019-10-01/user-data", instance=BARE).status == 404
    assert get("/2019-10-01/", instance=BARE).body == b"dynamic/\nmeta-data/"


def test_what_a_client_may_ask() -> None:
    assert get("/latest/meta-data/").body.split(b"\n")[:2] == [b"ami-id", b"hostname"]
    assert get("/latest/meta-data/placement/region").body == b"us-east-1"
    identity = json.loads(get("/latest/dynamic/instance-identity/document").body)
    assert identity["region"] == "us-east-1"
    assert identity["instanceId"] == get("/latest/meta-data/instance-id").body.decode()
    assert get("/latest/meta-data/instance-id/more").status == 404
