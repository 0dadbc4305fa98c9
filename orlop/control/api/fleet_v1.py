"""fleet's HTTP API, version 1, for tools of its time: `/fleet/v1/units`, `/state`, `/machines`.

What is asked is judged as leniently as fleet did; what fleet itself got wrong is not repeated: a state that is none, a
template that is to be started, and the state of a unit that is not there are refused. Who may do what is as everywhere.
Source: fleet 1.0.0, its answers as they were seen.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from orlop.control.api.asked import Answer, Asked, Control, endpoint, json_response
from orlop.control.api.units import state_of, unit_shown, write
from orlop.control.problems import ApiProblem
from orlop.errors import BadInput
from orlop.model.cluster.access import Right
from orlop.model.cluster.names import UNIT_RECORDS
from orlop.model.fleet import name as unit_name
from orlop.model.fleet.picture import FleetPicture
from orlop.model.fleet.records import TargetState, UnitRecord, text_of
from orlop.model.fleet.unitfile import FleetFile, UnitOption, parse
from orlop.model.words.strict import Fields
from orlop.store.protocol import Delete, Expect, StoreEntry

PREFIXES = ("/fleet/v1", "/v1-alpha")
PAGE = 100  # fleet's token_limit
Row = dict[str, Any]


def routes(control: Control) -> list[BaseRoute]:
    table: tuple[tuple[str, str, Right, Answer], ...] = (
        ("GET", "/units", Right.SEE_UNITS, units),
        ("GET", "/units/{unit:str}", Right.SEE_UNITS, unit),
        ("PUT", "/units/{unit:str}", Right.CHANGE_UNITS, put),
        ("DELETE", "/units/{unit:str}", Right.CHANGE_UNITS, destroy),
        ("GET", "/state", Right.SEE_UNITS, states),
        ("GET", "/state/{unit:str}", Right.SEE_UNITS, state),
        ("GET", "/machines", Right.SEE_UNITS, machines),
    )
    return [
        Route(prefix + path, endpoint(control, right, answer, fleet_error), methods=[method])
        for prefix in PREFIXES
        for method, path, right, answer in table
    ]


def fleet_error(problem: ApiProblem) -> Response:
    """As fleet has it; fleetctl shows the message."""
    said = f"{problem.detail} ({problem.hint})" if problem.hint else problem.detail
    return json_response({"error": {"code": problem.status, "message": said}}, problem.status, problem.headers)


async def units(asked: Asked) -> Response:
    """All units, a page at a time."""
    picture = asked.control.fleet.picture
    return _page(asked, "units", [_unit(picture, name) for name in sorted(picture.records)])


async def unit(asked: Asked) -> Response:
    """One unit."""
    entry = await _entry(asked)
    picture = asked.control.fleet.picture
    picture.tell(entry.key, entry.value)
    return json_response(_unit(picture, _named(asked)))


async def put(asked: Asked) -> Response:
    """A unit is new or has new options: 201. It is to become something else: 204."""
    if asked.request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ApiProblem(415, "only acceptable Content-Type is application/json")
    name, f = _named(asked), asked.fields()
    if f.has("name") and f.line("name", 256) != name:
        raise BadInput(f"name in URL {name!r} differs from unit name in request body {f.line('name', 256)!r}")
    target = TargetState(f.choice("desiredState", *TargetState)) if f.has("desiredState") else None
    text = _text(f) if f.has("options") and f.value("options", list) else ""
    entry = await asked.control.store.get(UNIT_RECORDS + name)
    before = UnitRecord.decode(entry.value) if entry is not None else None
    if before is None and not text:
        raise ApiProblem(409, "unit does not exist and options field empty")
    if entry is None or before is None or (text and parse(text).hash != before.hash):
        made = UnitRecord(name, text, lenient=True)
        made.needs  # noqa: B018  raises BadInput
        made = replace(made, restarts=before.restarts) if before is not None else made
        made = made.aim(target if target is not None else TargetState.INACTIVE)
        await write(
            asked, made, entry.modified if entry is not None else 0, f"submit {name} {made.hash[:7]}, {made.target}"
        )
        return Response(status_code=201)
    if target is None:
        raise ApiProblem(409, "must provide DesiredState to update existing unit")
    if before.target is not target:
        await write(asked, before.aim(target), entry.modified, f"make {name} {target}")
    return Response(status_code=204)


async def destroy(asked: Asked) -> Response:
    """A unit goes."""
    entry = await _entry(asked)
    deed = asked.deed(f"destroy {_named(asked)}")
    await asked.control.records.commit([Delete(entry.key)], [Expect(entry.key, entry.modified)], deed, asked.now)
    return Response(status_code=204)


async def states(asked: Asked) -> Response:
    """How units are on machines, of all or of what `machineID` and `unitName` choose."""
    query = asked.request.query_params
    machine, name = query.get("machineID", ""), query.get("unitName", "")
    found = [
        row
        for row in _states(asked.control.fleet.picture)
        if (not machine or row["machineID"] == machine) and (not name or row["name"] == name)
    ]
    return _page(asked, "states", found)


async def state(asked: Asked) -> Response:
    """How one unit is; fleet's own server ended the connection when there was none."""
    name = _named(asked)
    found = [row for row in _states(asked.control.fleet.picture) if row["name"] == name]
    if not found:
        raise ApiProblem(404, f"unit {name} has no state")
    return json_response(found[0])


async def machines(asked: Asked) -> Response:
    """The machines that are there."""
    picture = asked.control.fleet.picture
    reports = await asked.control.records.reports("", "g", len(picture.machines) + 1)  # all names are before "g"
    found = []
    for name in sorted(picture.present.keys() & picture.machines.keys()):
        offer, report = picture.offers.get(name), reports.get(name)
        about: Row = {"id": name, "primaryIP": report.addresses[0] if report and report.addresses else ""}
        found.append(about | ({"metadata": dict(offer.metadata)} if offer and offer.metadata else {}))
    return _page(asked, "machines", found)


def _unit(picture: FleetPicture, name: str) -> Row:
    record, file = picture.records[name], picture.file_of(name)
    placed = unit_shown(picture, name)["placed"]
    options = [{"section": each.section, "name": each.name, "value": each.value} for each in file.options]
    about = {"name": name, "options": options, "desiredState": str(record.target)}
    about["currentState"] = state_of(placed)
    return about | ({"machineID": placed[0]["machine"]} if len(placed) == 1 and not record.needs.is_global else {})


def _states(picture: FleetPicture) -> list[Row]:
    return [
        {
            "name": at["instance"], "machineID": at["machine"], "hash": at["hash"], "systemdLoadState": at["load"],
            "systemdActiveState": at["active"], "systemdSubState": at["sub"],
        }
        for name in sorted(picture.records) for at in unit_shown(picture, name)["placed"] if at["load"]
    ]  # fmt: skip


def _text(f: Fields) -> str:
    """The unit that these options are. Raises BadInput."""
    options = []
    for each in f.items("options", 2000):
        each.only("section", "name", "value")
        value = each.value("value", str)
        options.append(UnitOption(each.line("section", 256), each.line("name", 256), value))
    return text_of(Fields.of("", {"text": FleetFile(tuple(options)).text()}))


def _named(asked: Asked) -> str:
    return unit_name.parse(str(asked.request.path_params["unit"])).full


async def _entry(asked: Asked) -> StoreEntry:
    entry = await asked.control.store.get(UNIT_RECORDS + _named(asked))
    if entry is None:
        raise ApiProblem(404, "unit does not exist")
    return entry


def _page(asked: Asked, called: str, rows: Sequence[Mapping[str, Any]]) -> Response:
    """fleet's pages: a token is the limit and the number of a page."""
    number = _number(asked.request.query_params.get("nextPageToken", ""))
    some = rows[(number - 1) * PAGE : number * PAGE]
    more = {"nextPageToken": _token(number + 1)} if len(rows) > number * PAGE else {}
    headers = {"Server": "fleetd/1.0.0+orlop"}
    return Response(json.dumps({called: some} | more), 200, headers, media_type="application/json")


def _token(number: int) -> str:
    return base64.urlsafe_b64encode(struct.pack("<HH", PAGE, number)).decode()


def _number(token: str) -> int:
    if not token:
        return 1
    try:
        limit, number = struct.unpack("<HH", base64.b64decode(token.encode(), b"-_", validate=True))
    except (ValueError, struct.error):
        raise BadInput("nextPageToken is not one that this API gave") from None
    if limit != PAGE or number < 1:
        raise BadInput(f"nextPageToken is of pages of {limit}, these have {PAGE}")
    return int(number)
