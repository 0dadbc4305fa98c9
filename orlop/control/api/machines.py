"""Machines: let in, listed, shown, cordoned, put out; and what they report of themselves."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from starlette.responses import Response

from orlop.control import joining
from orlop.control.api.asked import Asked, json_response
from orlop.control.joining import JoinWish
from orlop.control.records import KeptMachine
from orlop.errors import BadInput
from orlop.model.cluster.machine import MachineReport, presence
from orlop.model.cluster.names import Role

MOST = 500  # of a page


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
    assert asked.caller is not None
    made = await joining.renew(control.records, control.authority, asked.caller, f.text("public_key", 1024), asked.now)
    return json_response({"certificate": made, "ca": control.authority.pem})


async def report(asked: Asked) -> Response:
    """What a machine says of itself; the last one counts."""
    said = MachineReport.read(asked.body)
    if said.machine != asked.machine:
        raise BadInput(f"the report is of machine {said.machine}, the address of machine {asked.machine}")
    await asked.control.records.report(said)
    return Response(status_code=204)


async def listed(asked: Asked) -> Response:
    """A page of machines in the order of names. `role` and `verdict` choose; `continue` is what the last page said."""
    query = asked.request.query_params
    role, verdict = query.get("role", ""), query.get("verdict", "")
    if role and role not in set(Role):
        raise BadInput(f"role must be {' or '.join(Role)}, not {role[:40]!r}")
    limit = asked.number("limit", 100, MOST) or MOST
    after, revision = _continued(query.get("continue", ""))
    found, page = await asked.control.records.machines(after=after, revision=revision, limit=limit)
    reports = await asked.control.records.reports()
    items = []
    for kept in found:
        shown = _shown(kept, reports.get(kept.record.machine), asked)
        if (not role or shown["role"] == role) and (not verdict or shown["presence"].partition(":")[0] == verdict):
            items.append(shown)
    more = {"continue": _cursor(found[-1].record.machine, page.revision)} if page.more else {}
    return json_response({"machines": items, "revision": page.revision} | more)


async def shown(asked: Asked) -> Response:
    """One machine; its ETag is what If-Match of a change is compared with."""
    kept = await asked.control.records.machine(asked.machine)
    report = await asked.control.records.reported(asked.machine)
    return json_response(_shown(kept, report, asked), headers={"ETag": _etag(kept)})


async def cordon(asked: Asked) -> Response:
    """Give a machine no new work, for a reason; an empty reason gives it work again."""
    f = asked.fields()
    f.only("reason")
    reason = f.line("reason", 200, empty=True)
    what = f"cordon {asked.machine}: {reason}" if reason else f"uncordon {asked.machine}"
    kept = await asked.control.records.cordon(
        asked.machine, reason, asked.deed(what), asked.now, match=_matched(asked.request.headers.get("if-match", ""))
    )
    return json_response(kept.record.shown(), headers={"ETag": _etag(kept)})


async def expel(asked: Asked) -> Response:
    """Put a machine out: its certificate is refused from now on, and what it has open is ended."""
    reason = asked.request.query_params.get("reason", "")
    if not reason or len(reason) > 200 or not reason.isprintable():
        raise BadInput("reason must be a line of 1 to 200 characters", hint="say why, for those who read the audit log")
    await asked.control.records.expel(asked.machine, reason, asked.deed(f"expel {asked.machine}: {reason}"), asked.now)
    return Response(status_code=204)


def _shown(kept: KeptMachine, report: MachineReport | None, asked: Asked) -> dict[str, Any]:
    about = kept.record.shown() | {"presence": presence(report, asked.now), "revision": kept.revision}
    return about | {"report": report.shown() if report else None}


def _etag(kept: KeptMachine) -> str:
    return f'"{kept.revision}"'


def _matched(header: str) -> int:
    """The revision of an If-Match; 0 when there is none. Raises BadInput."""
    if header in {"", "*"}:
        return 0
    found = re.fullmatch(r'"([1-9][0-9]{0,18})"', header, re.ASCII)
    if found is None:
        raise BadInput(f"If-Match must be an ETag that this API gave, not {header[:40]!r}")
    return int(found[1])


def _cursor(after: str, revision: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([after, revision]).encode()).decode()


def _continued(cursor: str) -> tuple[str, int]:
    """Where a page goes on. Raises BadInput."""
    if not cursor:
        return "", 0
    try:
        after, revision = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if not isinstance(after, str) or not isinstance(revision, int) or revision < 1:
            raise ValueError
    except ValueError:
        raise BadInput("continue must be what the page before it said", hint="begin again without it") from None
    return after, revision
