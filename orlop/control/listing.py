"""A page of machines: those that are chosen, in the order of names, each with what it last reported.

Invariants: a page costs what it shows. Without a choice as many records, reports and boots are read as it has lines;
with one, at most `MOST_READ` records, after which it says where to go on, be it without a line. All pages of a list
have the records as of the first one; reports are as of now.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orlop.control.records import KeptMachine, Records
from orlop.errors import BadInput
from orlop.model.cluster.boots import KnownBoots
from orlop.model.cluster.machine import MachineReport, presence
from orlop.model.cluster.names import Role

MOST = 500  # lines of a page
MOST_READ = 2000  # records that are looked at for one page
PRESENCES = ("good", "bad", "waiting", "away", "new", "doubled")


@dataclass(frozen=True)
class MachineChoice:
    """Which machines are wanted; what is empty does not matter. `cordoned`: yes or no; `host`: its whole name."""

    role: str = ""
    verdict: str = ""
    cordoned: str = ""
    host: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> MachineChoice:
        """Raises BadInput: a word that chooses nothing ever is a mistake, not an empty list."""
        for name, words in (("role", tuple(Role)), ("verdict", PRESENCES), ("cordoned", ("yes", "no"))):
            if (given := query.get(name, "")) and given not in words:
                raise BadInput(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not {given[:40]!r}")
        return cls(query.get("role", ""), query.get("verdict", ""), query.get("cordoned", ""), query.get("host", ""))

    def wants(self, shown: Mapping[str, Any]) -> bool:
        return (
            self.role in {"", shown["role"]}
            and self.verdict in {"", shown["presence"].partition(":")[0]}
            and self.cordoned in {"", "yes" if shown["cordoned"] else "no"}
            and self.host in {"", shown["host"]}
        )


@dataclass(frozen=True)
class MachinePage:
    """`more`: what the next page is asked with; "" when this is the last."""

    machines: tuple[dict[str, Any], ...]
    revision: int
    more: str


async def machine_page(records: Records, choice: MachineChoice, cursor: str, limit: int, now: datetime) -> MachinePage:
    """At most `limit` machines. Raises BadInput (cursor), Compacted: a list that took too long begins again."""
    after, revision = _read(cursor)
    lines: list[dict[str, Any]] = []
    looked = 0
    while True:
        found, page = await records.machines(after=after, revision=revision, limit=min(limit, MOST_READ - looked))
        revision, looked = page.revision, looked + len(found)
        last = found[-1].record.machine if found else ""
        reports = await records.reports(after, last, len(found)) if found else {}
        boots = await records.boots(after, last, len(found)) if found else {}
        for kept in found:
            after = kept.record.machine
            line = shown(kept, reports.get(after), boots.get(after), now)
            if choice.wants(line):
                lines.append(line)
            if len(lines) == limit:
                break
        is_last = not page.more and (not found or after == last)
        if is_last or len(lines) == limit or looked >= MOST_READ:
            return MachinePage(tuple(lines), revision, "" if is_last else _text(after, revision))


def shown(kept: KeptMachine, report: MachineReport | None, boots: KnownBoots | None, now: datetime) -> dict[str, Any]:
    doubled = boots.doubled(now) if boots else ""
    is_how = f"doubled: {doubled}" if doubled else presence(report, now)
    about = kept.record.shown() | {"presence": is_how, "revision": kept.revision}
    return about | {"report": report.shown() if report else None}


def _text(after: str, revision: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([after, revision]).encode()).decode()


def _read(cursor: str) -> tuple[str, int]:
    """The last machine that was looked at, and the revision of the list. Raises BadInput."""
    if not cursor:
        return "", 0
    try:
        after, revision = json.loads(base64.urlsafe_b64decode(cursor[:200].encode()))
        if not isinstance(after, str) or not after.isascii() or type(revision) is not int or revision < 1:
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise BadInput("continue must be what the page before it said", hint="begin again without it") from None
    return after, revision
