"""fleet's API as a tool of its time uses it: its requests, its codes, its bodies."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from orlop.model.fleet.unitfile import parse
from tests.contracts.control.machines import SimulatedMachine, until
from tests.contracts.control.served import Identity, ServedControl

TEXT = '[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/sh -c "echo \\\n hi"\n'
UNITS = "/fleet/v1/units"


def options(text: str = TEXT) -> list[dict[str, str]]:
    return [{"section": o.section, "name": o.name, "value": o.value} for o in parse(text).options]


class OldTool:
    def __init__(self, control: ServedControl, identity: Identity) -> None:
        self.control, self.identity = control, identity

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        kind = {"Content-Type": headers.get("kind", "application/json")} if body is not None else {}
        return self.control.ask(method, path, self.identity, body, kind)[:2]


@pytest.fixture
def tool(control: ServedControl, admin: Identity) -> OldTool:
    return OldTool(control, admin)


def test_a_unit_is_started_as_fleetctl_does_it(tool: OldTool, control: ServedControl) -> None:
    machine = SimulatedMachine(control, "1", region="eu").come()
    path = f"{UNITS}/hello.service"
    assert tool.ask("GET", path) == (404, {"error": {"code": 404, "message": "unit does not exist"}})
    body = {"name": "hello.service", "desiredState": "inactive", "options": options()}
    assert tool.ask("PUT", path, body)[0] == 201
    assert tool.ask("PUT", path, {"name": "hello.service", "desiredState": "launched"})[0] == 204
    until(lambda: tool.ask("GET", path)[1]["currentState"] == "launched")
    shown = tool.ask("GET", path)[1]
    assert (shown["desiredState"], shown["machineID"], shown["options"]) == ("launched", machine.name, options())
    states = tool.ask("GET", "/fleet/v1/state")[1]["states"]
    assert states == [{
        "name": "hello.service", "machineID": machine.name, "hash": parse(TEXT).hash, "systemdLoadState": "loaded",
        "systemdActiveState": "active", "systemdSubState": "running",
    }]  # fmt: skip
    assert tool.ask("GET", f"/fleet/v1/state?machineID={machine.name}&unitName=hello.service")[1]["states"] == states
    assert tool.ask("GET", "/fleet/v1/state?unitName=other.service")[1]["states"] == []
    assert tool.ask("GET", "/v1-alpha/state/hello.service")[1] == states[0]
    found = tool.ask("GET", "/fleet/v1/machines")[1]["machines"]
    assert found == [{"id": machine.name, "primaryIP": "", "metadata": {"region": "eu"}}]
    assert tool.ask("PUT", path, {"desiredState": "inactive"})[0] == 204
    assert tool.ask("DELETE", path)[0] == 204
    assert tool.ask("DELETE", path)[0] == 404
    machine.go()


CODES: dict[str, tuple[Any, int]] = {
    "no options for a new one": ({"desiredState": "launched"}, 409),
    "another name": ({"name": "b.service", "options": options()}, 400),
    "a state that is none": ({"desiredState": "bogus", "options": options()}, 400),
    "not JSON": (b"{", 400),
    "an option without a name": ({"options": [{"section": "A", "value": "b"}]}, 400),
    "what cannot be together": ({"options": options(TEXT + "[X-Fleet]\nGlobal=true\nMachineOf=b.service\n")}, 400),
    "a state that is none, alone": ({"desiredState": "bogus"}, 400),
}


@pytest.mark.parametrize(("body", "status"), CODES.values(), ids=CODES)
def test_codes(tool: OldTool, body: Any, status: int) -> None:
    got, answer = tool.ask("PUT", f"{UNITS}/a.service", body)
    assert got == status and answer["error"]["code"] == status and answer["error"]["message"]
    assert tool.ask("GET", UNITS) == (200, {"units": []}), "a unit that was refused is not there"


def test_other_codes(tool: OldTool) -> None:
    assert tool.ask("PUT", f"{UNITS}/a.service", {"options": options()}, kind="text/plain")[0] == 415
    assert tool.ask("PUT", f"{UNITS}/a.conf", {"options": options()})[0] == 400
    assert tool.ask("PUT", f"{UNITS}/a@.service", {"options": options(), "desiredState": "launched"})[0] == 400
    assert tool.ask("PUT", f"{UNITS}/a.service", {"options": options()})[0] == 201
    assert tool.ask("PUT", f"{UNITS}/a.service", {"options": options()})[0] == 409, (
        "it is there, and no state is asked for"
    )
    assert tool.ask("PUT", f"{UNITS}/a.service", {"options": options("[Service]\nA=b\n")})[0] == 201, "it is another"
    assert tool.ask("GET", "/fleet/v1/state/none.service")[0] == 404
    assert tool.ask("POST", UNITS, {})[0] == 405


def test_what_fleet_ignored_is_ignored(tool: OldTool) -> None:
    text = TEXT + "[X-Fleet]\nMachineIdd=1\nConflicts=bad[\nMachineMetadata=a=1 b=2\n"
    assert tool.ask("PUT", f"{UNITS}/a.service", {"options": options(text)})[0] == 201


def test_pages_are_fleets(tool: OldTool) -> None:
    for number in range(103):
        assert tool.ask("PUT", f"{UNITS}/u{number:03}.service", {"options": options()})[0] == 201
    first = tool.ask("GET", UNITS)[1]
    assert len(first["units"]) == 100
    assert struct.unpack("<HH", base64.urlsafe_b64decode(first["nextPageToken"])) == (100, 2)
    second = tool.ask("GET", f"{UNITS}?nextPageToken={first['nextPageToken']}")[1]
    assert [unit["name"] for unit in second["units"]] == ["u100.service", "u101.service", "u102.service"]
    assert "nextPageToken" not in second
    assert tool.ask("GET", f"{UNITS}?nextPageToken=EwBMLg==")[0] == 400
    assert tool.ask("GET", f"{UNITS}?nextPageToken=x")[0] == 400


def test_nobody_is_refused_in_fleets_words(control: ServedControl) -> None:
    status, answer, _ = control.ask("GET", UNITS)
    assert status == 401 and answer["error"]["code"] == 401
    machine = control.identity("m", f"/O=orlop:worker/CN={'9' * 32}")
    assert control.ask("GET", UNITS, machine)[0] == 403
