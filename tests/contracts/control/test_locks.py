"""The reboot lock over the API: FleetLock's own client, machines that ask for others, people who look and release."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from orlop.model.cluster import token as join_token
from orlop.model.cluster.lock import StoreMembers, Voter
from orlop.model.cluster.member import Member, member_name
from orlop.model.cluster.names import Role
from tests.contracts.control.served import HOLD_SECONDS, Identity, PrivateKey, ServedControl
from tests.contracts.control.test_joining import M1, M2, joined, report

FLEET = {"fleet-lock-protocol": "true"}


def fleet(control: ServedControl, who: Identity | None, what: str, machine: str, **more: Any) -> tuple[int, Any]:
    body = {"client_params": {"id": machine, "group": "workers"} | more}
    status, answer, _ = control.ask("POST", f"/v1/{what}", who, body, FLEET)
    return status, answer


def take(control: ServedControl, who: Identity | None, machine: str, **more: Any) -> tuple[int, Any]:
    return fleet(control, who, "pre-reboot", machine, **more)


def holders(control: ServedControl, admin: Identity) -> dict[str, list[str]]:
    groups = control.ask("GET", "/v1/locks", admin)[1]["groups"]
    return {group["group"]: [holder["machine"] for holder in group["holders"]] for group in groups}


def entries(control: ServedControl, admin: Identity) -> list[tuple[str, str]]:
    found = control.ask("GET", "/v1/audit?limit=500", admin)[1]["entries"]
    return [(entry["what"], entry["result"]) for entry in found]


def test_one_slot_taken_again_given_back_and_given_back_again(control: ServedControl, admin: Identity) -> None:
    m1, m2 = joined(control, M1), joined(control, M2)
    for _ in range(2):
        assert take(control, m1, M1)[0] == 200
    status, said = take(control, m2, M2)
    assert (status, said["kind"]) == (409, "slots_taken")
    assert said["value"].startswith(f"the slot of group workers is held: w1 ({M1[:8]}) since ")
    assert holders(control, admin) == {"servers": [], "workers": [M1]}
    for _ in range(2):
        assert fleet(control, m1, "steady-state", M1)[0] == 200
    assert take(control, m2, M2)[0] == 200
    what = sorted(entry for entry in entries(control, admin) if "lock" in entry[0])  # of one second: in no order
    took = ("take the reboot lock of workers", "done")
    assert what == [("give the reboot lock back", "done"), took, took]


def test_all_ask_at_once_and_no_more_than_the_slots_are_granted(control: ServedControl, admin: Identity) -> None:
    names = [f"{n:032x}" for n in range(8)]
    machines = [joined(control, name) for name in names]
    slots = {"slots": 3, "reason": "many"}
    assert control.ask("PUT", "/v1/lock-groups/workers", admin, slots)[0] == 204
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda pair: take(control, *pair), zip(machines, names, strict=True)))
    assert sorted(status for status, _ in said) == [200] * 3 + [409] * 5
    assert len(holders(control, admin)["workers"]) == 3
    assert control.ask("PUT", "/v1/lock-groups/workers", admin, {"slots": 0, "reason": "frozen"})[0] == 204
    granted = next(n for n, (status, _) in enumerate(said) if status == 200)
    assert take(control, machines[granted], names[granted])[0] == 200, "who holds one keeps it"


def test_a_live_holder_keeps_it_and_one_that_is_gone_does_not(control: ServedControl, admin: Identity) -> None:
    m1, m2 = joined(control, M1), joined(control, M2)
    assert take(control, m1, M1)[0] == 200
    until = time.monotonic() + 2 * HOLD_SECONDS
    while time.monotonic() < until:
        assert control.ask("PUT", f"/v1/machines/{M1}/report", m1, report(M1))[0] == 204
        assert take(control, m2, M2)[0] == 409
        time.sleep(0.3)
    deadline = time.monotonic() + 3 * HOLD_SECONDS
    while take(control, m2, M2)[0] != 200:  # M1 reports no more
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert holders(control, admin)["workers"] == [M2]


def test_a_machine_takes_it_for_itself_alone(control: ServedControl, admin: Identity) -> None:
    m1, _ = joined(control, M1), joined(control, M2)
    status, said = take(control, m1, M2)
    assert (status, said["kind"]) == (403, "not_yours") and "only for itself" in said["value"]
    assert fleet(control, m1, "steady-state", M2)[0] == 403
    assert take(control, None, M1)[0] == 401
    assert take(control, admin, M1)[0] == 403  # people are not machines
    assert any(what == f"/v1/pre-reboot as {M2}" and "refused" in said for what, said in entries(control, admin))
    unknown = control.identity("ghost", f"/O=orlop:worker/CN={'3' * 32}")
    assert take(control, unknown, "3" * 32)[0] == 404


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        ({"client_params": {"id": M1, "group": "workers"}}, {}, "fleet-lock-protocol"),
        ({"client_params": {"id": M1, "group": "a b"}}, FLEET, "group"),
        ({"client_params": {"id": M1, "more": 1}}, FLEET, "more"),
        ({"client_params": []}, FLEET, "client_params"),
        ({}, FLEET, "client_params"),
        (b"{", FLEET, "JSON"),
    ],
)
def test_junk(control: ServedControl, body: Any, headers: dict[str, str], said: str) -> None:
    m1 = joined(control, M1)
    status, answer, _ = control.ask("POST", "/v1/pre-reboot", m1, body, headers)
    assert (status, answer["kind"]) == (400, "bad_request") and said in answer["value"]


def test_an_operator_releases_it_with_a_reason(control: ServedControl, admin: Identity) -> None:
    m1, m2 = joined(control, M1), joined(control, M2)
    assert take(control, m1, M1)[0] == 200
    assert control.ask("DELETE", f"/v1/locks/{M1}", admin)[0] == 400, "a reason is missing"
    assert control.ask("DELETE", f"/v1/locks/{M1}?reason=burnt", m2)[0] == 403
    assert control.ask("DELETE", f"/v1/locks/{M1}?reason=burnt", admin)[0] == 204
    assert control.ask("DELETE", f"/v1/locks/{M1}?reason=burnt", admin)[0] == 404
    assert (f"release the reboot lock of {M1}: burnt", "done") in entries(control, admin)
    assert take(control, m2, M2)[0] == 200


def test_who_is_expelled_holds_it_no_more(control: ServedControl, admin: Identity) -> None:
    m1, m2 = joined(control, M1), joined(control, M2)
    assert take(control, m1, M1)[0] == 200
    assert control.ask("DELETE", f"/v1/machines/{M1}?reason=stolen", admin)[0] == 204
    assert take(control, m2, M2)[0] == 200
    assert take(control, m1, M1)[0] == 403


def voter(machine: str, trouble: str = "") -> Voter:
    return Voter(Member(int(machine[:8], 16), member_name("s", machine), "https://s:2380"), trouble, "3.5.16")


def server(control: ServedControl, machine: str) -> Identity:
    """One that joined as a server."""
    ca, key = (join_token.der(path.read_text()) for path in (control.signer.certificate, control.signer.key))
    made, ends = PrivateKey(), control.now[0] + timedelta(hours=1)
    wish = {"token": str(join_token.make(Role.SERVER, ends, ca, key)), "machine": machine, "host": "s1",
            "public_key": made.public}  # fmt: skip
    status, body, _ = control.ask("POST", "/v1/join", body=wish)
    assert status == 200, body
    return control.keep(machine, body["certificate"], made)


def test_a_server_is_asked_of_etcd(control: ServedControl, admin: Identity) -> None:
    names = [f"{n:08x}{'0' * 24}" for n in (1, 2, 3)]
    s1, s2, _ = (server(control, name) for name in names)
    control.members = StoreMembers((voter(names[0]), voter(names[1], "does not answer"), voter(names[2])))
    status, said = take(control, s1, names[0], group="")
    assert (status, said["kind"]) == (409, "quorum_at_risk") and "does not answer" in said["value"]
    control.members = StoreMembers(tuple(map(voter, names)))
    assert take(control, s1, names[0], group="", etcd="3.7.0")[1]["kind"] == "etcd_upgrade_order"
    assert take(control, s1, names[0], group="", etcd="3.6.0")[0] == 200
    assert control.ask("PUT", "/v1/lock-groups/servers", admin, {"slots": 9, "reason": "more"})[0] == 204
    assert take(control, s2, names[1], group="another")[1]["kind"] == "quorum_at_risk"
