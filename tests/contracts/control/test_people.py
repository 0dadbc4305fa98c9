"""Roles of people, changes that know what they change, pages, and the log of it all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orlop.model.cluster.access import PEOPLE, Right
from tests.contracts.control.served import Identity, PrivateKey, ServedControl
from tests.contracts.control.test_joining import M1, M2, joined


def bearer(control: ServedControl, admin: Identity, access: str) -> dict[str, str]:
    made = control.ask("POST", "/v1/people", admin, {"name": "bob", "access": access, "hours": 1})
    assert made[0] == 201, made
    return {"Authorization": f"Bearer {made[1]['token']}"}


@pytest.mark.parametrize("access", PEOPLE)
def test_what_each_role_may(control: ServedControl, admin: Identity, access: str) -> None:
    joined(control)
    who = bearer(control, admin, access)
    assert control.ask("GET", "/v1/whoami", headers=who)[1]["caller"]["access"] == access
    cordon = control.ask("PUT", f"/v1/machines/{M1}/cordon", body={"reason": "disk"}, headers=who)[0]
    seen = control.ask("GET", "/v1/audit", headers=who)[0]
    token = control.ask("POST", "/v1/tokens", body={}, headers=who)[0]
    expel = control.ask("DELETE", f"/v1/machines/{M1}?reason=old", headers=who)[0]
    assert control.ask("GET", "/v1/machines", headers=who)[0] == 200
    assert (cordon, seen, token, expel) == {
        "viewer": (403, 403, 403, 403),
        "operator": (200, 403, 403, 403),
        "auditor": (403, 200, 403, 403),
        "admin": (200, 200, 201, 204),
    }[access]


def test_a_bearer_token_ends_and_is_kept_as_a_hash_only(control: ServedControl, admin: Identity) -> None:
    who = bearer(control, admin, "viewer")
    token = who["Authorization"].removeprefix("Bearer ").encode()
    page = control.do(control.store.page(""))
    assert all(token not in entry.value and token.decode() not in entry.key for entry in page.entries)
    from datetime import timedelta

    control.now[0] += timedelta(hours=2)
    status, body, _ = control.ask("GET", "/v1/machines", headers=who)
    assert status == 401 and "ended at" in body["detail"]


def test_a_change_knows_what_it_changes(control: ServedControl, admin: Identity) -> None:
    joined(control)
    path = f"/v1/machines/{M1}/cordon"
    etag = control.ask("GET", f"/v1/machines/{M1}", admin)[2]["etag"]
    status, body, headers = control.ask("PUT", path, admin, {"reason": "disk"}, {"If-Match": etag})
    assert (status, body["cordoned"]) == (200, "disk")
    assert headers["etag"] != etag
    status, body, _ = control.ask("PUT", path, admin, {"reason": ""}, {"If-Match": etag})
    assert status == 412 and "look at it again" in body["hint"]
    assert control.ask("PUT", path, admin, {"reason": ""}, {"If-Match": headers["etag"]})[1]["cordoned"] == ""
    assert control.ask("PUT", path, admin, {"reason": ""}, {"If-Match": "yes"})[0] == 400
    assert control.ask("PUT", f"/v1/machines/{M2}/cordon", admin, {"reason": "x"})[0] == 404


def test_pages(control: ServedControl, admin: Identity) -> None:
    names = [f"{n:032x}" for n in range(7)]
    for name in reversed(names):
        joined(control, name)
    status, body, _ = control.ask("GET", "/v1/machines?limit=3", admin)
    found = [each["machine"] for each in body["machines"]]
    assert control.ask("DELETE", f"/v1/machines/{names[4]}?reason=late", admin)[0] == 204
    while "continue" in body:
        status, body, _ = control.ask("GET", f"/v1/machines?limit=3&continue={body['continue']}", admin)
        assert status == 200
        found += [each["machine"] for each in body["machines"]]
    assert found == names  # as of the first page
    assert control.ask("GET", "/v1/machines?limit=many", admin)[0] == 400
    assert control.ask("GET", "/v1/machines?continue=junk", admin)[0] == 400
    assert control.ask("GET", "/v1/machines?role=king", admin)[0] == 400
    assert len(control.ask("GET", "/v1/machines?role=worker&verdict=new", admin)[1]["machines"]) == 6
    first = control.ask("GET", "/v1/audit?limit=2", admin)[1]
    second = control.ask("GET", f"/v1/audit?limit=2&continue={first['continue']}", admin)[1]
    assert len(first["entries"]) == len(second["entries"]) == 2 and first["entries"] != second["entries"]


def test_the_log_has_who_what_when_from_where_and_result_of_everything(control: ServedControl, admin: Identity) -> None:
    """Every route that changes something, done and failed: the table is walked, so a new one is asked for too."""
    from orlop.control.api.routes import ROUTES

    key = PrivateKey()
    machine = joined(control, M1, key)
    token = control.token().id
    asked: dict[tuple[str, str], tuple[Any, str, Identity, Any, str]] = {
        ("POST", "/v1/join"): (None, "/v1/join", machine, None, "join as worker from w1"),
        ("PUT", "/v1/machines/{machine:str}/cordon"): (
            {"reason": "disk"}, f"/v1/machines/{M1}/cordon", admin, {"reason": 7}, f"cordon {M1}: disk"),
        ("POST", "/v1/machines/{machine:str}/certificate"): (
            {"public_key": key.public}, f"/v1/machines/{M1}/certificate", machine, {"public_key": "x"},
            "renew its certificate"),
        ("POST", "/v1/tokens"): ({"reason": "new rack"}, "/v1/tokens", admin, {"hours": 0}, "make join token"),
        ("DELETE", "/v1/tokens/{token:str}"): (
            None, f"/v1/tokens/{token}?reason=old", admin, "/v1/tokens/none", f"revoke join token {token}"),
        ("POST", "/v1/people"): (
            {"name": "bob", "access": "viewer", "hours": 1}, "/v1/people", admin, {"name": "bob"},
            "make a bearer token for bob as viewer"),
        ("PUT", "/v1/machines/{machine:str}/drain"): (
            {"reason": "disk"}, f"/v1/machines/{M1}/drain", admin, {"reason": 7}, f"drain {M1}: disk"),
        ("PUT", "/v1/units/{unit:str}"): (
            {"text": "[Service]\nExecStart=/bin/x\n"}, "/v1/units/a.service", admin, {"text": 7}, "submit a.service"),
        ("PUT", "/v1/units/{unit:str}/target"): (
            {"target": "launched"}, "/v1/units/a.service/target", admin, {"target": "x"}, "make a.service launched"),
        ("POST", "/v1/units/{unit:str}/restart"): (
            {}, "/v1/units/a.service/restart", admin, "/v1/units/none.service/restart", "restart a.service"),
        ("DELETE", "/v1/units/{unit:str}"): (
            None, "/v1/units/a.service", admin, "/v1/units/none.service", "destroy a.service"),
        ("PUT", "/v1/lock-groups/{group:str}"): (
            {"slots": 2, "reason": "many"}, "/v1/lock-groups/workers", admin, {"slots": -1, "reason": "x"},
            "give group workers 2 reboot slots: many"),
        ("DELETE", "/v1/locks/{machine:str}"): (
            None, f"/v1/locks/{M1}?reason=burnt", admin, f"/v1/locks/{M2}?reason=x",
            f"release the reboot lock of {M1}: burnt"),
        ("DELETE", "/v1/machines/{machine:str}"): (
            None, f"/v1/machines/{M1}?reason=old", admin, f"/v1/machines/{M2}?reason=x", f"expel {M1}: old"),
    }  # fmt: skip
    chores = {Right.REPORT, Right.WORK, Right.TAKE_LOCK}
    changing = {(r.method, r.path) for r in ROUTES if r.method != "GET" and r.right not in chores}
    assert changing == set(asked)
    held = {"client_params": {"id": M1, "group": "workers"}}  # what is released below
    assert control.ask("POST", "/v1/pre-reboot", machine, held, {"fleet-lock-protocol": "true"})[0] == 200
    for (method, _), (body, path, caller, bad, _) in asked.items():
        if path != "/v1/join":
            bad_path, bad_body = (bad, None) if isinstance(bad, str) else (path, bad)
            assert control.ask(method, bad_path, caller, bad_body)[0] in {400, 404}
            assert control.ask(method, path, caller, body)[0] < 300
    log = control.ask("GET", "/v1/audit?limit=100", admin)[1]["entries"]
    assert [entry["at"] for entry in log] == sorted(entry["at"] for entry in log)
    for entry in log:
        assert set(entry) == {"at", "who", "via", "what", "from", "result"} and all(entry.values())
        assert entry["from"] == "127.0.0.1"
    done = [entry for entry in log if entry["result"] == "done"]
    assert len(done) == len(asked) + 1
    for _, path, caller, _, what in asked.values():
        who = "admin ada" if caller is admin else f"machine {M1}"
        assert sum(entry["what"].startswith(what) and entry["who"] == who for entry in done) == 1, path
    failed = [entry for entry in log if entry["result"].startswith("failed: ")]
    assert len(failed) == len(asked) - 1
    secret = [json.dumps(log).count(word) for word in (key.public[30:60], str(control.token())[-64:])]
    assert secret == [0, 0]


def test_what_is_not_there_and_what_is_too_much(control: ServedControl, admin: Identity) -> None:
    assert control.ask("GET", "/v1/nothing", admin)[0] == 404
    assert control.ask("PATCH", "/v1/machines", admin)[0] == 405
    status, body, _ = control.ask("POST", "/v1/join", body=b"x" * (65 << 10))
    assert status == 413 and "65536 bytes" in body["detail"]
    for junk in (b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b'{"reason": NaN}'):
        assert control.ask("PUT", f"/v1/machines/{M1}/cordon", admin, junk)[0] == 400


def test_the_description_names_every_route(control: ServedControl) -> None:
    from orlop.control.api.routes import ROUTES, STREAMS

    status, body, _ = control.ask("GET", "/openapi.json")
    assert status == 200 and body["openapi"].startswith("3.1")
    described = {(method.upper(), path) for path, methods in body["paths"].items() for method in methods}
    plain = {(r.method, r.path.replace(":str}", "}")) for r in ROUTES}
    assert described == plain | {("GET", path.replace(":str}", "}")) for path, _, _, _ in STREAMS}
    assert all(about["summary"] for methods in body["paths"].values() for about in methods.values())
