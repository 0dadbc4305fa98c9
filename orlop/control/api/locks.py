"""The reboot lock: machines ask as FleetLock says; people see who holds a slot, release one, set how many there are.

FleetLock (coreos/fleetlock and Zincati's documentation): two requests with a header that keeps strays away, and
answered with 200, or with `kind` and `value`. Both may be repeated. The id must be the machine's own.
"""

from __future__ import annotations

from starlette.responses import Response

from orlop.control import problems
from orlop.control.api.asked import Asked, json_response
from orlop.control.locks import LockGroup, SlotRefused
from orlop.control.problems import ApiProblem
from orlop.errors import BadInput, NotAllowed, OrlopError
from orlop.model.cluster.access import Right, refusal
from orlop.model.cluster.lock import MOST_SLOTS
from orlop.model.cluster.machine import presence
from orlop.model.settings.kinds import LOCK_GROUP

HEADER = "fleet-lock-protocol"


async def pre_reboot(asked: Asked) -> Response:
    """FleetLock: may this machine reboot? Then it holds a slot."""
    try:
        machine, group, etcd = await _client(asked)
        why = await asked.control.locks.take(
            machine, group, etcd, asked.deed(f"take the reboot lock{f' of {group}' if group else ''}"), asked.now
        )
    except OrlopError as e:
        raise _fleet(e) from None
    return json_response({"why": why})


async def steady_state(asked: Asked) -> Response:
    """FleetLock: it is well again, and its slot is free."""
    try:
        machine, _, _ = await _client(asked)
        await asked.control.locks.give_back(machine, asked.deed("give the reboot lock back"), asked.now)
    except OrlopError as e:
        raise _fleet(e) from None
    return json_response({})


async def listed(asked: Asked) -> Response:
    """Every group with its slots and who holds them."""
    groups = await asked.control.locks.groups()
    return json_response({"groups": [await _shown(asked, group) for group in groups]})


async def release(asked: Asked) -> Response:
    """Take the slot from a machine, for a reason."""
    reason = asked.request.query_params.get("reason", "")
    if not reason or len(reason) > 200 or not reason.isprintable():
        raise BadInput("reason must be a line of 1 to 200 characters", hint="say why, for those who read the audit log")
    deed = asked.deed(f"release the reboot lock of {asked.machine}: {reason}")
    await asked.control.locks.release(asked.machine, deed, asked.now)
    return Response(status_code=204)


async def set_slots(asked: Asked) -> Response:
    """How many machines of a group may reboot at once; 0: none."""
    f = asked.fields()
    f.only("slots", "reason")
    slots, reason = f.number("slots", 0, MOST_SLOTS), f.line("reason", 200)
    group = str(asked.request.path_params["group"])
    LOCK_GROUP.read(group, "the group")
    deed = asked.deed(f"give group {group} {slots} reboot slots: {reason}")
    await asked.control.locks.set_slots(group, slots, deed, asked.now)
    return Response(status_code=204)


async def _client(asked: Asked) -> tuple[str, str, str]:
    """Machine, group ("" for its role's) and the etcd it is about to start ("" when not said). Raises OrlopError."""
    if asked.request.headers.get(HEADER) != "true":
        raise BadInput(f"the header `{HEADER}: true` is missing")
    body = asked.fields()
    body.only("client_params")
    f = body.fields("client_params")
    f.only("id", "group", "etcd")
    machine, group = f.line("id", 64), f.line("group", 253, empty=True) if f.has("group") else ""
    if group:
        LOCK_GROUP.read(group, "client_params.group")
    if why := refusal(asked.caller, Right.TAKE_LOCK, machine):
        deed = asked.deed(f"{asked.request.url.path} as {machine}")
        await asked.control.records.note(deed, f"refused: {why}", asked.now)
        raise NotAllowed(why)
    return machine, group, f.line("etcd", 40, empty=True) if f.has("etcd") else ""


def _fleet(e: OrlopError) -> ApiProblem:
    """As FleetLock says it, beside what all problems have."""
    problem = problems.of(e)
    kind = str(e.kind) if isinstance(e, SlotRefused) else {400: "bad_request", 403: "not_yours"}.get(problem.status, "")
    problem.more = {"kind": kind or "unavailable", "value": e.message}
    if isinstance(e, SlotRefused):
        problem.status, problem.headers = 409, {}  # not 429: asking another server changes nothing
    return problem


async def _shown(asked: Asked, group: LockGroup) -> dict[str, object]:
    holders = []
    for hold in group.holds:
        report, _ = await asked.control.records.reported(hold.machine)
        holders.append(hold.shown() | {"presence": presence(report, asked.now)})
    return {"group": group.name, "slots": group.slots, "holders": holders}
