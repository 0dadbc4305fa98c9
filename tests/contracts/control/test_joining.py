"""A machine joins, is renewed, and is put out; what it must not do is refused with words, and is in the audit log."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any

import pytest

from orlop.model.cluster.names import Role
from tests.contracts.control.served import Identity, PrivateKey, ServedControl, signer_of, token_of

M1, M2 = "1" * 32, "2" * 32


def wish(control: ServedControl, machine: str, key: PrivateKey, **other: Any) -> dict[str, Any]:
    return {"token": str(control.token()), "machine": machine, "host": "w1", "public_key": key.public} | other


def joined(control: ServedControl, machine: str = M1, key: PrivateKey | None = None) -> Identity:
    key = key or PrivateKey()
    status, body, _ = control.ask("POST", "/v1/join", body=wish(control, machine, key))
    assert status == 200, body
    assert body["ca"] == control.signer.certificate.read_text() and body["cluster"] == "test"
    return control.keep(machine, body["certificate"], key)


def report(machine: str, **other: Any) -> dict[str, Any]:
    return {
        "schema": 1, "machine": machine, "boot": "b" * 36, "version": "20261128.1", "verdict": "good", "reason": "",
        "addresses": ["10.0.0.1"], "at": "2026-11-28T12:00:00Z",
    } | other  # fmt: skip


def test_a_machine_joins_reports_and_is_listed(control: ServedControl, admin: Identity) -> None:
    machine = joined(control)
    assert control.ask("GET", "/v1/whoami", machine)[1]["caller"] == {
        "access": "machine", "name": M1, "via": "certificate",
    }  # fmt: skip
    at = control.now[0].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert control.ask("PUT", f"/v1/machines/{M1}/report", machine, report(M1, at=at))[0] == 204
    status, body, _ = control.ask("GET", "/v1/machines", admin)
    assert status == 200
    (shown,) = body["machines"]
    assert (shown["machine"], shown["role"], shown["host"], shown["presence"]) == (M1, "worker", "w1", "good")
    assert shown["report"]["addresses"] == ["10.0.0.1"]
    control.now[0] += timedelta(minutes=5)
    assert control.ask("GET", f"/v1/machines/{M1}", admin)[1]["presence"].startswith("away: last heard of 30")


@pytest.mark.parametrize(
    ("other", "status", "said"),
    [
        ({"token": "orlop-join-1.x"}, 400, "this is not a join token"),
        ({"machine": "M1"}, 400, "32 hexadecimal digits"),
        ({"machine": "../../etc"}, 400, "32 hexadecimal digits"),
        ({"host": "a\nb"}, 400, "host"),
        ({"public_key": "none"}, 400, "BEGIN PUBLIC KEY"),
        ({"more": 1}, 400, "more"),
    ],
)
def test_junk_is_refused_with_words(control: ServedControl, other: dict[str, Any], status: int, said: str) -> None:
    answer = control.ask("POST", "/v1/join", body=wish(control, M1, PrivateKey()) | other)
    assert (answer[0], answer[2]["content-type"]) == (status, "application/problem+json")
    assert said in answer[1]["detail"] and answer[1]["status"] == status


def test_tokens_that_do_not_let_in(control: ServedControl, admin: Identity) -> None:
    foreign = signer_of(control.folder / "other", "other CA")
    altered = str(control.token()).replace(".worker.", ".server.")
    ended = control.token(life=timedelta(seconds=-1))
    revoked = control.token()
    assert control.ask("DELETE", f"/v1/tokens/{revoked.id}?reason=leaked", admin)[0] == 204
    for token, status, said in (
        (str(token_of(foreign, control.now[0] + timedelta(hours=1))), 400, "of another cluster"),
        (altered, 400, "altered"),
        (str(ended), 400, "the token ended at"),
        (str(revoked), 403, "the token was revoked: leaked"),
    ):
        found = control.ask("POST", "/v1/join", body=wish(control, M1, PrivateKey(), token=token))
        assert (found[0], said in found[1]["detail"]) == (status, True), found
    entries = control.ask("GET", "/v1/audit", admin)[1]["entries"]
    assert [e["result"].startswith("refused: ") for e in entries if e["what"].startswith("join")] == [True] * 4
    assert control.ask("GET", "/v1/machines", admin)[1]["machines"] == []


def test_an_admin_makes_tokens_that_let_workers_in(control: ServedControl, admin: Identity) -> None:
    status, made, _ = control.ask("POST", "/v1/tokens", admin, {"hours": 2})
    assert status == 201
    key = PrivateKey()
    assert control.ask("POST", "/v1/join", body=wish(control, M1, key, token=made["token"]))[0] == 200
    assert control.ask("GET", f"/v1/machines/{M1}", admin)[1]["role"] == Role.WORKER


def test_a_copy_of_a_disk_is_told_so_and_the_first_goes_on(control: ServedControl) -> None:
    key = PrivateKey()
    machine = joined(control, M1, key)
    status, body, _ = control.ask("POST", "/v1/join", body=wish(control, M1, PrivateKey()))
    assert status == 403 and "this is a copy of its disk, or it lost its key" in body["detail"]
    assert f"orlop machine expel {M1}" in body["hint"]
    assert control.ask("PUT", f"/v1/machines/{M1}/report", machine, report(M1))[0] == 204
    joined(control, M1, key)  # the same machine with the same key: its answer had been lost


def test_a_machine_is_renewed_for_its_key_alone(control: ServedControl) -> None:
    key = PrivateKey()
    machine = joined(control, M1, key)
    path = f"/v1/machines/{M1}/certificate"
    status, body, _ = control.ask("POST", path, machine, {"public_key": key.public})
    assert status == 200
    assert control.ask("GET", "/v1/whoami", control.keep("new", body["certificate"], key))[1]["caller"]["name"] == M1
    assert control.ask("POST", path, machine, {"public_key": PrivateKey().public})[0] == 400


def test_a_machine_touches_only_what_is_its_own(control: ServedControl, admin: Identity) -> None:
    """Everything there is, tried on another machine: the table of routes is walked, so a new one is tried too."""
    from orlop.control.api.routes import ROUTES, STREAMS
    from orlop.model.cluster.access import RIGHTS, Access

    machine = joined(control, M1)
    joined(control, M2)
    before = control.ask("GET", f"/v1/machines/{M2}", admin)[1]
    tried = 0
    asked = [(r.method, r.path, r.right) for r in ROUTES] + [("GET", path, right) for path, right, _, _ in STREAMS]
    for method, path, right in asked:
        if right is None:
            continue
        where = path.replace("{machine:str}", M2).replace("{token:str}", "0" * 16)
        # where the path does not say whose it is, the body does: FleetLock's
        other = {"client_params": {"id": M2}}
        status, body, _ = control.ask(method, where, machine, other, {"fleet-lock-protocol": "true"})
        assert status == 403, (method, path)
        word = "only for itself" if Access.MACHINE in RIGHTS[right] else "may not"
        assert word in body["detail"], body
        tried += 1
    assert tried >= 12
    after = control.ask("GET", f"/v1/machines/{M2}", admin)[1]
    assert after == before
    refused = [e for e in control.ask("GET", "/v1/audit", admin)[1]["entries"] if e["who"] == f"machine {M1}"]
    assert sum(e["result"].startswith("refused: ") for e in refused) == tried


def test_an_expelled_machine_is_out_and_its_key_is_useless(control: ServedControl, admin: Identity) -> None:
    key = PrivateKey()
    token = str(control.token())
    status, body, _ = control.ask("POST", "/v1/join", body=wish(control, M1, key) | {"token": token})
    machine = control.keep(M1, body["certificate"], key)
    assert control.ask("DELETE", f"/v1/machines/{M1}?reason=stolen", admin)[0] == 204
    status, body, _ = control.ask("PUT", f"/v1/machines/{M1}/report", machine, report(M1))
    assert status == 403 and "was expelled: stolen" in body["detail"]
    assert control.ask("POST", "/v1/join", machine, wish(control, M1, key))[0] == 403
    assert control.ask("POST", "/v1/join", body=wish(control, M1, key))[0] == 403  # also without showing it
    fresh = wish(control, M1, PrivateKey()) | {"token": token}
    assert control.ask("POST", "/v1/join", body=fresh)[0] == 403  # a new key, by the token that it has kept
    assert control.ask("GET", f"/v1/machines/{M1}", admin)[0] == 404
    joined(control, M1)  # a new key and a new token: a machine that was cleaned


def test_nobody_and_strangers(control: ServedControl) -> None:
    status, body, headers = control.ask("GET", "/v1/machines")
    assert (status, headers["www-authenticate"]) == (401, "Bearer") and "certificate" in body["detail"]
    assert control.ask("GET", "/v1/machines", headers={"Authorization": "Bearer nothing"})[0] == 401
    foreign = signer_of(control.folder / "other", "other CA")
    stranger = control.identity("stranger", "/O=orlop:admin/CN=eve", signer=foreign)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        control.ask("GET", "/v1/machines", stranger)
    odd = control.identity("odd", "/O=orlop:king/CN=eve")
    assert control.ask("GET", "/v1/machines", odd)[0] == 401
