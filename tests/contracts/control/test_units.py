"""Units over the API: from a person's wish to a machine that runs it, with everything that may come between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from orlop.model.cluster.names import LEADER, UNIT_RECORDS
from orlop.model.fleet.records import SeenUnit
from orlop.store.protocol import Put
from tests.contracts.control.machines import SimulatedMachine, until
from tests.contracts.control.served import Identity, ServedControl

TEXT = "[Unit]\nDescription=a web server\n[Service]\nExecStart=/usr/bin/sleep 1d\n"


class Desk:
    """What a person at a command line does."""

    def __init__(self, control: ServedControl, admin: Identity) -> None:
        self.control, self.admin = control, admin

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return self.control.ask(method, path, self.admin, body, headers)[:2]

    def start(self, name: str, *lines: str, target: str = "launched", text: str = TEXT) -> dict[str, Any]:
        fleet = "[X-Fleet]\n" + "\n".join(lines) if lines else ""
        status, answer = self.ask("PUT", f"/v1/units/{name}", {"text": text + fleet, "target": target})
        assert status in {200, 201}, answer
        found: dict[str, Any] = answer
        return found

    def at(self, name: str) -> dict[str, str]:
        """Instance → the machines that it is placed on, by one digit each."""
        found: dict[str, str] = {}
        for placed in self.ask("GET", f"/v1/units/{name}")[1]["placed"]:
            found[placed["instance"]] = found.get(placed["instance"], "") + placed["machine"][0]
        return found

    def active(self, name: str) -> str:
        """The machines on which it was seen active."""
        placed = self.ask("GET", f"/v1/units/{name}")[1]["placed"]
        return "".join(sorted(at["machine"][0] for at in placed if at["active"] == "active"))


@pytest.fixture
def desk(control: ServedControl, admin: Identity) -> Desk:
    return Desk(control, admin)


@pytest.fixture
def machines(control: ServedControl) -> Iterator[dict[str, SimulatedMachine]]:
    made = {
        digit: SimulatedMachine(control, digit, zone=zone).come()
        for digit, zone in (("1", "a"), ("2", "b"), ("3", "b"))
    }
    until(lambda: control.scheduler is not None and len(control.scheduler.picture.present) == 3)
    yield made
    for machine in made.values():
        if machine.connection is not None:
            machine.go()


def test_a_unit_is_submitted_loaded_started_stopped_and_destroyed(
    desk: Desk, machines: dict[str, SimulatedMachine]
) -> None:
    assert desk.ask("PUT", "/v1/units/web.service", {"text": TEXT})[0] == 201
    shown = desk.ask("GET", "/v1/units/web.service")[1]
    assert (shown["target"], shown["state"], shown["placed"]) == ("inactive", "inactive", [])
    assert shown["description"] == "a web server" and shown["text"] == TEXT and len(shown["hash"]) == 40
    desk.ask("PUT", "/v1/units/web.service/target", {"target": "loaded"})
    until(lambda: desk.ask("GET", "/v1/units/web.service")[1]["state"] == "loaded")
    assert desk.at("web.service") == {"web.service": "1"} and desk.active("web.service") == ""
    desk.ask("PUT", "/v1/units/web.service/target", {"target": "launched"})
    until(lambda: desk.active("web.service") == "1")
    work = machines["1"].work()["web.service"]
    desk.ask("POST", "/v1/units/web.service/restart", {})
    until(lambda: machines["1"].work()["web.service"]["restarts"] == 1)
    assert machines["1"].work()["web.service"]["epoch"] == work["epoch"]
    assert (work["text"], work["target"]) == (TEXT, "launched")
    desk.ask("PUT", "/v1/units/web.service/target", {"target": "inactive"})
    until(lambda: machines["1"].epochs == {})
    assert desk.ask("DELETE", "/v1/units/web.service")[0] == 204
    assert desk.ask("GET", "/v1/units/web.service")[0] == 404
    assert desk.ask("DELETE", "/v1/units/web.service")[0] == 404


@pytest.mark.usefixtures("machines")
def test_replicas_spread_and_follow_their_number(desk: Desk) -> None:
    desk.start("web@.service", "Replicas=3")
    until(lambda: desk.active("web@.service") == "123")
    desk.start("web@.service", "Replicas=2")
    until(lambda: desk.active("web@.service") == "12")
    assert set(desk.at("web@.service")) == {"web@1.service", "web@2.service"}


def hashes(desk: Desk, name: str) -> list[tuple[str, str]]:
    """Of each replica: whether it has the unit's text, and how it is."""
    shown = desk.ask("GET", f"/v1/units/{name}")[1]
    return sorted(("new" if at["hash"] == shown["hash"] else "old", at["active"]) for at in shown["placed"])


@pytest.mark.usefixtures("machines")
def test_replicas_are_changed_one_after_another_and_a_text_that_fails_stops_at_the_first(desk: Desk) -> None:
    desk.start("web@.service", "Replicas=3")
    until(lambda: desk.active("web@.service") == "123")
    epochs = {at["epoch"] for at in desk.ask("GET", "/v1/units/web@.service")[1]["placed"]}
    desk.start("web@.service", "Replicas=3", text=TEXT.replace("1d", "2d"))
    until(lambda: hashes(desk, "web@.service") == [("new", "active")] * 3)
    desk.start("web@.service", "Replicas=3", text="[Service]\nExecStart=/bin/false\n")
    until(lambda: ("new", "failed") in hashes(desk, "web@.service"))
    time.sleep(0.3)  # for one more, if it came
    assert hashes(desk, "web@.service") == [("new", "failed"), ("old", "active"), ("old", "active")]
    desk.start("web@.service", "Replicas=3")
    until(lambda: hashes(desk, "web@.service") == [("new", "active")] * 3)
    desk.ask("POST", "/v1/units/web@.service/restart", {})
    until(lambda: all(at["restarts"] == 1 for at in desk.ask("GET", "/v1/units/web@.service")[1]["placed"]))
    assert {at["epoch"] for at in desk.ask("GET", "/v1/units/web@.service")[1]["placed"]} == epochs, "none moved"


def test_units_of_a_lost_machine_run_elsewhere_and_its_old_epoch_is_not_heard(
    desk: Desk, machines: dict[str, SimulatedMachine]
) -> None:
    desk.start("web.service", "MachineMetadata=zone=b")
    desk.start("everywhere.service", "Global=true")
    until(lambda: desk.active("web.service") == "2" and desk.active("everywhere.service") == "123")
    old = machines["2"].epochs["web.service"]
    machines["2"].go()
    until(lambda: desk.active("web.service") == "3")
    new = machines["3"].epochs["web.service"]
    assert new > old
    said = machines["2"].say({"web.service": SeenUnit("loaded", "active", "running", "", old)})
    assert said == ["web.service"], "it is another's by now"
    assert desk.at("web.service") == {"web.service": "3"}
    machines["2"].come()
    until(lambda: "web.service" not in machines["2"].epochs and "everywhere.service" in machines["2"].epochs)
    assert desk.at("web.service") == {"web.service": "3"}, "what runs stays"


def test_a_machine_that_is_back_in_time_keeps_what_it_has(desk: Desk, machines: dict[str, SimulatedMachine]) -> None:
    desk.start("web.service")
    until(lambda: desk.active("web.service") == "1")
    epoch = machines["1"].epochs["web.service"]
    machines["1"].go()
    machines["1"].come()
    until(lambda: desk.active("web.service") == "1")
    assert machines["1"].epochs["web.service"] == epoch


def test_when_most_are_away_at_once_nothing_moves_until_they_had_time(
    control: ServedControl, desk: Desk, machines: dict[str, SimulatedMachine]
) -> None:
    assert control.scheduler is not None
    control.scheduler._many_grace = 60.0
    desk.start("web.service")
    until(lambda: desk.active("web.service") == "1")
    machines["1"].go()
    machines["2"].go()
    until(lambda: len(control.scheduler.picture.present) == 1)  # type: ignore[union-attr]
    until(lambda: len(control.scheduler._away) == 2)  # type: ignore[union-attr]
    assert control.scheduler._patience() == 60.0
    machines["2"].come()
    until(lambda: desk.active("web.service") in {"2", "3"})


def test_a_drained_machine_gives_its_units_up_and_may_have_some_again(
    desk: Desk, machines: dict[str, SimulatedMachine]
) -> None:
    desk.start("web.service")
    desk.start("everywhere.service", "Global=true")
    until(lambda: desk.active("web.service") == "1")
    where = f"/v1/machines/{machines['1'].name}/drain"
    assert desk.ask("PUT", where, {"reason": "new disk"})[0] == 200
    until(lambda: desk.active("web.service") == "2")
    assert "everywhere.service" in machines["1"].epochs
    explained = desk.ask("GET", "/v1/units/web.service/explain")[1]["instances"][0]
    assert {m["host"]: m["refused"] for m in explained["machines"]}["n1"] == "it is drained: new disk"
    assert explained["placed"][0]["why"] == "it is drained: new disk"
    desk.ask("PUT", where, {"reason": ""})
    desk.start("other.service")
    until(lambda: desk.active("other.service") == "1")


@pytest.mark.usefixtures("machines")
def test_what_no_machine_can_run_is_said_at_once_and_placed_when_that_changes(
    control: ServedControl, desk: Desk
) -> None:
    answer = desk.start("web.service", "MachineMetadata=zone=c")
    assert answer["why"].startswith("no machine can run it: n2, n3: it has zone=b, not zone=c; n1: it has zone=a")
    assert desk.at("web.service") == {}
    late = SimulatedMachine(control, "4", zone="c").come()
    until(lambda: desk.active("web.service") == "4")
    late.go()


def test_the_leader_that_was_replaced_changes_nothing(
    control: ServedControl, desk: Desk, machines: dict[str, SimulatedMachine]
) -> None:
    desk.start("web.service")
    until(lambda: desk.active("web.service") == "1")
    control.do(control.store.commit([Put(LEADER, b"another server")]))
    desk.ask("PUT", "/v1/units/web.service/target", {"target": "inactive"})
    until(lambda: control.scheduler is not None and not control.scheduler.leads)
    assert desk.at("web.service") == {} or machines["1"].epochs != {}
    assert "web.service" in machines["1"].work(), "nobody decided"


def test_a_template_cannot_be_started_itself(desk: Desk) -> None:
    status, answer = desk.ask("PUT", "/v1/units/web@.service", {"text": TEXT, "target": "launched"})
    assert (status, answer["hint"][:30]) == (400, "start an instance, such as web")
    assert desk.ask("GET", "/v1/units/web@.service")[0] == 404


REFUSED = {
    "an unknown state": ({"text": TEXT, "target": "bogus"}, "must be one of inactive, loaded, launched"),
    "an unknown key": ({"text": TEXT + "[X-Fleet]\nMachineIdd=1"}, "line 6: 'MachineIdd' is not a key"),
    "a bad pattern": ({"text": TEXT + "[X-Fleet]\nConflicts=bad["}, "line 6: Conflicts: 'bad['"),
    "no text": ({"target": "loaded"}, "text is missing"),
    "an unknown field": ({"text": TEXT, "state": "x"}, "state is unknown here"),
    "a text that cannot be read": ({"text": "[Service\nA=b"}, "a [ has no ]"),
    "a NUL": ({"text": TEXT + "\0"}, "control character"),
}


@pytest.mark.parametrize(("body", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_refused_and_changes_nothing(desk: Desk, body: dict[str, Any], said: str) -> None:
    status, answer = desk.ask("PUT", "/v1/units/web.service", body)
    assert status == 400 and said in answer["detail"]
    assert desk.ask("GET", "/v1/units")[1]["units"] == []


def test_names_are_checked_and_the_systems_own_are_kept(desk: Desk) -> None:
    assert "not a valid name" in desk.ask("PUT", "/v1/units/web.conf", {"text": TEXT})[1]["detail"]
    assert desk.ask("PUT", "/v1/units/orlop-agent.service", {"text": TEXT})[0] == 403


def test_old_tools_may_ask_for_what_fleet_ignored(desk: Desk) -> None:
    body = {"text": TEXT + "[X-Fleet]\nMachineIdd=1\n", "lenient": True}
    assert desk.ask("PUT", "/v1/units/web.service", body)[0] == 201


def test_lists_come_in_pages_and_by_what_is_asked(desk: Desk, machines: dict[str, SimulatedMachine]) -> None:
    for number in range(7):
        desk.start(f"u{number}.service", target="loaded" if number % 2 else "inactive")
    names, more = list[str](), ""
    while True:
        page = desk.ask("GET", f"/v1/units?limit=3{more}")[1]
        names += [unit["name"] for unit in page["units"]]
        if "continue" not in page:
            break
        more = f"&continue={page['continue']}"
    assert names == [f"u{number}.service" for number in range(7)]

    def chosen(query: str) -> list[str]:
        return [unit["name"][1] for unit in desk.ask("GET", f"/v1/units?{query}")[1]["units"]]

    assert chosen("target=loaded") == ["1", "3", "5"]
    assert chosen("name=u[0-2].service") == ["0", "1", "2"]
    until(lambda: chosen("state=loaded") == ["1", "3", "5"])
    assert len(chosen(f"machine={machines['1'].name}")) == 1
    assert desk.ask("GET", "/v1/units?name=bad[")[0] == 400
    assert desk.ask("GET", "/v1/units?continue=%FF")[0] == 400


def test_two_who_change_one_unit_do_not_overwrite_each_other(
    control: ServedControl, admin: Identity, desk: Desk
) -> None:
    desk.start("web.service", target="inactive")
    tag = control.ask("GET", "/v1/units/web.service", admin)[2]["etag"]
    body = {"text": TEXT + "\n[Install]\nA=b\n"}
    assert desk.ask("PUT", "/v1/units/web.service", body, {"If-Match": tag})[0] == 200
    assert desk.ask("PUT", "/v1/units/web.service", {"text": TEXT}, {"If-Match": tag})[0] == 412
    assert desk.ask("DELETE", "/v1/units/web.service", None, {"If-Match": tag})[0] == 412
    assert desk.ask("PUT", "/v1/units/web.service", {"text": TEXT}, {"If-None-Match": "*"})[0] == 412
    assert desk.ask("PUT", "/v1/units/new.service", {"text": TEXT}, {"If-None-Match": "*"})[0] == 201


def test_roles(control: ServedControl, desk: Desk) -> None:
    viewer = control.identity("viewer", "/O=orlop:viewer/CN=eve")
    operator = control.identity("operator", "/O=orlop:operator/CN=oli")
    desk.start("web.service", target="inactive")
    assert control.ask("GET", "/v1/units", viewer)[0] == 200
    assert control.ask("PUT", "/v1/units/web.service/target", viewer, {"target": "loaded"})[0] == 403
    assert control.ask("PUT", "/v1/units/web.service/target", operator, {"target": "loaded"})[0] == 200
    assert control.ask("GET", "/v1/units")[0] == 401
    assert any("make web.service loaded" in entry["what"] for entry in desk.ask("GET", "/v1/audit")[1]["entries"])


def test_a_machine_does_only_its_own_work(machines: dict[str, SimulatedMachine], control: ServedControl) -> None:
    other = machines["2"].where
    for method, path in (("GET", "/work"), ("PUT", "/offer"), ("PUT", "/states")):
        assert control.ask(method, other + path, machines["1"].identity, {})[0] == 403
    assert machines["1"].ask("PUT", "/drain", {"reason": "x"})[0] == 403


@pytest.mark.usefixtures("machines")
def test_an_entry_that_cannot_be_read_spoils_nothing_else(control: ServedControl, desk: Desk) -> None:
    control.do(control.store.commit([Put(UNIT_RECORDS + "new.service", b'{"schema":2}')]))
    desk.start("web.service")
    until(lambda: desk.active("web.service") == "1")
    assert list(desk.ask("GET", "/v1/fleet")[1]["defects"]) == [UNIT_RECORDS + "new.service"]
