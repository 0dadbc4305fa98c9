"""What a machine is to run, what it offers and how its units are: for its agent; and draining, for people."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.responses import Response

from orlop.control.api.asked import Asked, json_response
from orlop.model.cluster.names import DRAINS, OFFERS, SEEN
from orlop.model.fleet.records import MachineOffer, SeenUnits
from orlop.store.protocol import Delete, Put, Unavailable

CATCH_UP_SECONDS = 3.0


async def offer(asked: Asked) -> Response:
    """What a machine has to give; the last one counts."""
    made = MachineOffer.decode(asked.body)
    await asked.control.records.machine(asked.machine)
    entry = await asked.control.store.get(OFFERS + asked.machine)
    if entry is None or entry.value != made.encoded():
        await asked.control.store.commit([Put(OFFERS + asked.machine, made.encoded())])
    return Response(status_code=204)


async def work(asked: Asked) -> Response:
    """All that a machine is to run, with texts; no older than the revision `after`, which its stream has told it."""
    hub, after = asked.control.hub, asked.number("after", 0, 1 << 62)
    until = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
    while hub.revision < after:
        if asyncio.get_running_loop().time() > until:
            raise Unavailable("this server has not heard yet of what the other one told", hint="ask again")
        await asyncio.sleep(0.02)
    picture, units = asked.control.fleet.picture, list[dict[str, Any]]()
    for instance, given in picture.of_machine(asked.machine):
        record = picture.records.get(given.unit)
        if record is not None:
            needs = record.needs
            units.append({
                "name": instance, "unit": given.unit, "text": record.text, "hash": record.hash,
                "target": str(given.target), "epoch": given.epoch, "restarts": given.restarts, "cpu": needs.cpu,
                "memory": needs.memory, "stops_alone": needs.stops_alone,
                # of replicas one after another is changed: until its turn comes this one stays as it is
                "held": (given.hash, given.restarts) != (record.hash, record.restarts),
            })  # fmt: skip
    return json_response({"revision": hub.revision, "units": units})


async def states(asked: Asked) -> Response:
    """How a machine's units are, all of them; what it says of one that is another's by now is left out."""
    said = SeenUnits.decode(asked.body)
    work, machine = asked.control.fleet.picture.work, asked.machine
    heard = {
        name: seen
        for name, seen in said.units.items()
        if (given := work.get((machine, name))) is not None and given.epoch == seen.epoch
    }
    await asked.control.store.commit([Put(SEEN + machine, SeenUnits(heard).encoded())])
    return json_response({"refused": sorted(said.units.keys() - heard.keys())})


async def drain(asked: Asked) -> Response:
    """Let a machine's units go elsewhere, but for global ones, for a reason; an empty one: it may have some again."""
    f = asked.fields()
    f.only("reason")
    reason = f.line("reason", 200, empty=True)
    await asked.control.records.machine(asked.machine)
    key = DRAINS + asked.machine
    what = f"drain {asked.machine}: {reason}" if reason else f"end the drain of {asked.machine}"
    write = Put(key, json.dumps({"why": reason}).encode()) if reason else Delete(key)
    await asked.control.records.commit([write], [], asked.deed(what), asked.now)
    return json_response({"machine": asked.machine, "drained": reason})


async def fleet(asked: Asked) -> Response:
    """Every machine as the scheduler sees it: what it offers, what is used of it, why it gets nothing. `defects`: what
    the store has and cannot be read.
    """
    picture = asked.control.fleet.picture
    found = []
    for name in sorted(picture.machines):
        room = picture.scheduler.rooms.rooms.get(name)
        record, machine = picture.machines[name], room.machine if room is not None else None
        found.append({
            "machine": name, "host": record.host, "server": picture.present.get(name, ""),
            "metadata": dict(machine.metadata) if machine else {}, "units": len(room.units) if room else 0,
            "cpu": machine.cpu if machine else 0, "cpu_used": room.cpu if room else 0,
            "memory": machine.memory if machine else 0, "memory_used": room.memory if room else 0,
            "closed": (machine.leaving or machine.closed) if machine else "it has not offered anything yet",
        })  # fmt: skip
    return json_response({"machines": found, "defects": picture.defects})
