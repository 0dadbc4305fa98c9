"""Machines: let in, listed, shown, cordoned, put out; and what they report of themselves."""

from __future__ import annotations

import re

from starlette.responses import Response

from orlop.control import joining, listing
from orlop.control.api.asked import Asked, json_response
from orlop.control.joining import JoinWish
from orlop.control.listing import MOST, MachineChoice, machine_page
from orlop.errors import BadInput
from orlop.model.cluster.machine import MachineReport


async def join(asked: Asked) -> Response:
    """A machine's first certificate, for a join token."""
    control = asked.control
    wish = JoinWish.read(asked.fields())
    made = await joining.join(control.records, control.authority, wish, asked.where, asked.now)
    return json_response({"certificate": made, "ca": control.authority.pem, "cluster": control.cluster})


async def renew(asked: Asked) -> Response:
    """A machine's next certificate, for the key it has."""
    control, f = asked.control, asked.fields()
    f.only("public_key")
    deed = asked.deed("renew its certificate")
    made = await joining.renew(control.records, control.authority, f.text("public_key", 1024), deed, asked.now)
    return json_response({"certificate": made, "ca": control.authority.pem})


async def report(asked: Asked) -> Response:
    """What a machine says of itself; the last one counts."""
    said = MachineReport.read(asked.body)
    if said.machine != asked.machine:
        raise BadInput(f"the report is of machine {said.machine}, the address of machine {asked.machine}")
    await asked.control.records.report(said, asked.where, asked.now)
    await asked.control.locks.keep(asked.control.hub, said.machine)
    return Response(status_code=204)


async def listed(asked: Asked) -> Response:
    """A page of machines in the order of names, those that the query chooses; `continue` is what the last page said.
    A page may have fewer machines than `limit`, even none, and still go on.
    """
    query = asked.request.query_params
    choice = MachineChoice.read(query)
    limit = asked.number("limit", 100, MOST) or MOST
    page = await machine_page(asked.control.records, choice, query.get("continue", ""), limit, asked.now)
    more = {"continue": page.more} if page.more else {}
    return json_response({"machines": page.machines, "revision": page.revision} | more)


async def shown(asked: Asked) -> Response:
    """One machine; its ETag is what If-Match of a change is compared with."""
    kept = await asked.control.records.machine(asked.machine)
    report, boots = await asked.control.records.reported(asked.machine)
    return json_response(listing.shown(kept, report, boots, asked.now), headers={"ETag": etag(kept.revision)})


async def cordon(asked: Asked) -> Response:
    """Give a machine no new work, for a reason; an empty reason gives it work again."""
    f = asked.fields()
    f.only("reason")
    reason = f.line("reason", 200, empty=True)
    what = f"cordon {asked.machine}: {reason}" if reason else f"uncordon {asked.machine}"
    kept = await asked.control.records.cordon(
        asked.machine, reason, asked.deed(what), asked.now, match=matched(asked.request.headers.get("if-match", ""))
    )
    return json_response(kept.record.shown(), headers={"ETag": etag(kept.revision)})


async def expel(asked: Asked) -> Response:
    """Put a machine out: its certificate is refused from now on, and what it has open is ended."""
    reason = asked.request.query_params.get("reason", "")
    if not reason or len(reason) > 200 or not reason.isprintable():
        raise BadInput("reason must be a line of 1 to 200 characters", hint="say why, for those who read the audit log")
    await asked.control.records.expel(asked.machine, reason, asked.deed(f"expel {asked.machine}: {reason}"), asked.now)
    return Response(status_code=204)


def etag(revision: int) -> str:
    return f'"{revision}"'


def matched(header: str) -> int:
    """The revision of an If-Match; 0 when there is none. Raises BadInput."""
    if header in {"", "*"}:
        return 0
    found = re.fullmatch(r'"([1-9][0-9]{0,18})"', header, re.ASCII)
    if found is None:
        raise BadInput(f"If-Match must be an ETag that this API gave, not {header[:40]!r}")
    return int(found[1])
