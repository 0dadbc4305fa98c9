"""Units: submitted, aimed at a state, listed, explained, destroyed."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from orlop.control.api.asked import Asked, json_response
from orlop.control.api.machines import etag, matched
from orlop.errors import BadInput, Missing, NotAllowed
from orlop.model.cluster.names import UNIT_RECORDS
from orlop.model.fleet import globs
from orlop.model.fleet import name as unit_name
from orlop.model.fleet.explain import MachineVerdict, summary
from orlop.model.fleet.picture import FleetPicture
from orlop.model.fleet.records import SeenUnit, TargetState, UnitRecord, description_of, text_of
from orlop.model.words.line import line
from orlop.store.protocol import Conflict, Delete, Expect, Put, StoreEntry

MOST = 1000  # of a page
OURS = "orlop-"  # what begins so belongs to the system, on every machine
_TRIES = 5
_UNSEEN = SeenUnit("", "", "", "", 0)


async def listed(asked: Asked) -> Response:
    """A page of units in the order of names. `name` is a pattern; `target`, `state` and `machine` choose too."""
    query, picture = asked.request.query_params, asked.control.fleet.picture
    pattern, machine = query.get("name", "*"), query.get("machine", "")
    target, state = query.get("target", ""), query.get("state", "")
    globs.compiled(pattern)
    limit = asked.number("limit", 100, MOST) or MOST
    after = _after(query.get("continue", ""))
    names = sorted(name for name in picture.records if name > after and globs.matches(pattern, name))
    items: list[dict[str, Any]] = []
    last = ""
    for name in names:
        if len(items) == limit:
            return json_response({"units": items, "continue": base64.urlsafe_b64encode(last.encode()).decode()})
        shown = unit_shown(picture, name)
        last = name
        if (
            (not target or shown["target"] == target)
            and (not state or shown["state"] == state)
            and (not machine or any(at["machine"] == machine for at in shown["placed"]))
        ):
            items.append(shown)
    return json_response({"units": items})


async def shown(asked: Asked) -> Response:
    """One unit, with its text; its ETag is what If-Match of a change is compared with."""
    entry = await _entry(asked, _named(asked))
    record = UnitRecord.decode(entry.value)
    picture = asked.control.fleet.picture
    picture.tell(entry.key, entry.value)  # it may be newer than what this server has heard
    about = unit_shown(picture, record.name) | {"text": record.text}
    return json_response(about, headers={"ETag": etag(entry.modified)})


async def put(asked: Asked) -> Response:
    """Submit a unit, or replace its text. `target` is what it is to become; without one it stays what it is."""
    name, f = _named(asked), asked.fields()
    f.only("text", "target", "lenient")
    target = TargetState(f.choice("target", *TargetState)) if f.has("target") else None
    made = UnitRecord(name, text_of(f), lenient=f.value("lenient", bool, default=False))
    made.needs  # noqa: B018  raises BadInput when it cannot be read
    match = matched(asked.request.headers.get("if-match", ""))
    only_new = asked.request.headers.get("if-none-match") == "*"
    entry = await asked.control.store.get(UNIT_RECORDS + name)
    revision = entry.modified if entry is not None else 0
    if (match and match != revision) or (only_new and entry is not None):
        raise Conflict(f"unit {name} is there as somebody else wrote it", found={name: revision},
                       hint="look at it again, then decide again")  # fmt: skip
    before = UnitRecord.decode(entry.value) if entry is not None else None
    if before is not None:
        made = replace(made, target=before.target, restarts=before.restarts)
    made = made.aim(target if target is not None else made.target)
    if made != before:
        what = f"{'replace' if before else 'submit'} {name} {made.hash[:7]}, {made.target}"
        revision = await write(asked, made, revision, what)
    return _answer(asked, made, revision, 200 if before else 201)


async def aim(asked: Asked) -> Response:
    """What a unit is to become: inactive, loaded or launched. It says at once when no machine can run it."""
    f = asked.fields()
    f.only("target")
    target = TargetState(f.choice("target", *TargetState))
    return await _change(asked, f"make {_named(asked)} {target}", lambda record: record.aim(target))


async def restart(asked: Asked) -> Response:
    """Start a unit again wherever it runs."""

    def again(record: UnitRecord) -> UnitRecord:
        if record.target is not TargetState.LAUNCHED:
            raise BadInput(f"{record.name} is not started: it is {record.target}", hint="orlop unit start starts it")
        return replace(record, restarts=record.restarts + 1)

    return await _change(asked, f"restart {_named(asked)}", again)


async def destroy(asked: Asked) -> Response:
    """Stop a unit wherever it runs, and forget it."""
    name = _named(asked)
    entry = await _entry(asked, name)
    match = matched(asked.request.headers.get("if-match", ""))
    if match and match != entry.modified:
        raise Conflict(f"unit {name} was changed by somebody else", found={name: entry.modified})
    deed = asked.deed(f"destroy {name}")
    await asked.control.records.commit([Delete(entry.key)], [Expect(entry.key, entry.modified)], deed, asked.now)
    return Response(status_code=204)


async def explain(asked: Asked) -> Response:
    """Of each instance: every machine, with why it cannot run it or how it ranks."""
    name, picture = _named(asked), asked.control.fleet.picture
    entry = await _entry(asked, name)
    picture.tell(entry.key, entry.value)
    instances = []
    for instance, verdicts in picture.explain(name):
        machines = [_verdict(verdict) for verdict in verdicts]
        waits = "" if any(v.has_it for v in verdicts) else summary(verdicts)
        placed = [{"machine": m, "epoch": work.epoch, "why": work.why} for m, work in picture.where(instance)]
        instances.append({"instance": instance, "why": waits, "placed": placed, "machines": machines})
    return json_response({"unit": name, "target": str(picture.records[name].target), "instances": instances})


def _verdict(found: MachineVerdict) -> dict[str, Any]:
    about = {"refused": found.refused, "rank": found.rank, "has_it": found.has_it}
    return {"machine": found.machine.machine, "host": found.machine.host} | about


def unit_shown(picture: FleetPicture, name: str) -> dict[str, Any]:
    """A unit as lists have it: what is wanted, and of each instance where it is and how."""
    record, needs = picture.records[name], picture.records[name].needs
    placed = [
        _placed(picture, instance, machine, work.epoch)
        for instance in picture.instances(name)
        for machine, work in picture.where(instance)
    ]
    return {
        "name": name, "hash": record.hash, "description": description_of(record.text),
        "target": str(record.target), "state": state_of(placed), "global": needs.is_global,
        "restarts": record.restarts,
        "replicas": needs.replicas, "wanted": len(picture.instances(name)), "placed": placed,
    }  # fmt: skip


def _placed(picture: FleetPicture, instance: str, machine: str, epoch: int) -> dict[str, Any]:
    """Of what has not been seen since it was placed there, all words are empty."""
    seen, known = picture.states(instance, machine) or _UNSEEN, picture.machines.get(machine)
    return {
        "instance": instance, "machine": machine, "host": known.host if known else "", "epoch": epoch,
        "load": seen.load, "active": seen.active, "sub": seen.sub, "hash": seen.hash, "why": seen.why,
        "restarts": seen.restarts, "target": str(seen.target), "is_present": machine in picture.present,
    }  # fmt: skip


def state_of(placed: list[dict[str, Any]]) -> str:
    """fleet's word of what it has become: inactive until its machines have it, launched when all have started it."""
    if not placed or not all(at["load"] for at in placed):
        return str(TargetState.INACTIVE)
    is_done = all(at["target"] == str(TargetState.LAUNCHED) for at in placed)
    return str(TargetState.LAUNCHED if is_done else TargetState.LOADED)


def _named(asked: Asked) -> str:
    """The unit of the address. Raises BadInput."""
    return unit_name.parse(str(asked.request.path_params["unit"])).full


async def _entry(asked: Asked, name: str) -> StoreEntry:
    entry = await asked.control.store.get(UNIT_RECORDS + name)
    if entry is None:
        raise Missing(f"there is no unit {line(name, 60)} in this cluster", hint="orlop unit list-unit-files shows all")
    return entry


async def _change(asked: Asked, what: str, change: Any) -> Response:
    """`change` gives the record that takes the place of the present one."""
    name, match = _named(asked), matched(asked.request.headers.get("if-match", ""))
    for last in range(1, _TRIES + 1):
        entry = await _entry(asked, name)
        if match and match != entry.modified:
            raise Conflict(f"unit {name} was changed by somebody else", found={name: entry.modified})
        before, revision = UnitRecord.decode(entry.value), entry.modified
        made: UnitRecord = change(before)
        try:
            if made != before:
                revision = await write(asked, made, revision, what)
            return _answer(asked, made, revision, 200)
        except Conflict:
            if last == _TRIES or match:
                raise
    raise AssertionError("unreachable")


async def write(asked: Asked, record: UnitRecord, revision: int, what: str) -> int:
    """The revision that it has then. Raises NotAllowed, Conflict."""
    if record.name.startswith(OURS):
        raise NotAllowed(f"{record.name} is a name of the system's own", hint=f"names must not begin with {OURS}")
    key = UNIT_RECORDS + record.name
    writes, expect = [Put(key, record.encoded())], [Expect(key, revision)]
    return await asked.control.records.commit(writes, expect, asked.deed(what), asked.now)


def _answer(asked: Asked, record: UnitRecord, revision: int, status: int) -> Response:
    """What is wanted now, and why it cannot be, if so: whoever asked need not wait to learn that."""
    picture = asked.control.fleet.picture
    picture.tell(UNIT_RECORDS + record.name, record.encoded())
    why = picture.why_not(record.name) if record.target is not TargetState.INACTIVE else ""
    about = {"name": record.name, "hash": record.hash, "target": str(record.target), "why": why}
    return json_response(about, status, {"ETag": etag(revision)})


def _after(cursor: str) -> str:
    try:
        return base64.b64decode(cursor.encode(), b"-_", validate=True).decode()
    except ValueError:
        raise BadInput("continue must be what the page before it said", hint="begin again without it") from None
