"""What is said of a machine on which something is wrong now: a part of the status document, lines, metrics.

docs/protocol/node-api.md describes the fields. Pure, like `orlop.model.update.status`, whose invariant holds here too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from orlop.model.update import repair
from orlop.model.update.blame import kind_of
from orlop.model.update.reboot import Strategy
from orlop.model.update.repair import Remedy, Repair, Trouble


def part(troubles: Iterable[Trouble], wish: Repair | None, strategy: Strategy, now: datetime) -> dict[str, Any]:
    """`repair` says what is done about it where a reboot would mend it; None where none is wanted."""
    return {
        "troubles": [
            {
                "kind": kind_of(trouble.what),
                "about": trouble.what.partition(":")[2],
                "reason": trouble.reason,
                "remedy": str(trouble.cure.remedy),
                "seconds": round(trouble.lasted.total_seconds()),
            }
            for trouble in troubles
        ],
        "repair": None if wish is None else repair.when(wish, strategy, now, sessions=0).reason,
    }


def sentences(doc: dict[str, Any]) -> list[str]:
    """One for each thing that is wrong, and one for what is done about it."""
    hints = dict.fromkeys(
        trouble["reason"] + _REMEDIES.get(trouble["remedy"], "") for trouble in doc.get("troubles", ())
    )
    return [*hints, *([doc["repair"]] if doc.get("repair") else [])]


_REMEDIES = {str(Remedy.RESTART): " (it is started again)"}


def samples(doc: dict[str, Any]) -> list[tuple[str, float]]:
    """For each kind of trouble how many things are wrong, as labels and value."""
    kinds = [trouble["kind"] for trouble in doc.get("troubles", ())]
    return [(f'{{kind="{kind}"}}', kinds.count(kind)) for kind in sorted(repair.CURES)]
