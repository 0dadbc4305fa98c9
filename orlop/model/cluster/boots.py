"""Which boot of a machine reports: how a second machine with the same identity is noticed.

A disk that was copied with its key makes two machines of one identity, and each shows a certificate that is good. What
tells them apart is the kernel's id of the boot, which is new at each boot of each machine. A machine that reboots goes
from one id to the next and never back; so one that reports again after another took its place shows that both run.

    first report        the boot is known
    another id          a reboot, for all that can be known: the machine is this boot now, the one before is remembered
    the one before      both run. The one that was there first stays; the other is refused, by its boot
    a copy that boots   looks like a reboot, until the first one reports again

Invariants: one machine alone is never called a copy, however often it boots: what it said before it did may arrive
late, but not later than LATE. Of two that go on reporting one is refused at the latest by the third report after both
are there, and never both. When the first one is gone for good, the other needs only to boot. What this cannot see is a
machine that was copied while it ran, memory included: both are the same boot. Times are the server's. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orlop.errors import BadInput
from orlop.model.cluster.machine import AWAY, LARGEST, SCHEMA
from orlop.model.words.record import record_text
from orlop.model.words.strict import Fields, parse_json, stamp

MOST = 8  # boots that are remembered, of either kind; older ones are forgotten
LATE = timedelta(seconds=30)  # twice what a request may take


@dataclass(frozen=True)
class BootCopy:
    """A boot that is refused. `address`: where it was last heard from; `seen`: when."""

    boot: str
    address: str
    seen: datetime


@dataclass(frozen=True)
class KnownBoots:
    """`boot`: the machine's, since `since`, from `address`; `before`: those that it took the place of, newest first;
    `copies`: the one that was heard last comes first.
    """

    boot: str
    since: datetime
    address: str
    before: tuple[str, ...] = ()
    copies: tuple[BootCopy, ...] = ()

    def doubled(self, now: datetime) -> str:
        """Who reports beside this machine, in words; empty when nobody has for a while."""
        if not self.copies or now - self.copies[0].seen > AWAY:
            return ""
        return f"another one with its identity runs at {self.copies[0].address}, boot {self.copies[0].boot[:8]}"

    def text(self) -> bytes:
        copies = [{"boot": each.boot, "address": each.address, "seen": stamp(each.seen)} for each in self.copies]
        about: dict[str, Any] = {
            "schema": SCHEMA, "boot": self.boot, "since": stamp(self.since), "address": self.address,
            "before": list(self.before), "copies": copies,
        }  # fmt: skip
        return record_text(about)

    @classmethod
    def read(cls, raw: bytes) -> KnownBoots:
        """Raises BadInput."""
        f = Fields.of("", parse_json(raw, LARGEST))
        if f.number("schema", 1, 1 << 31) != SCHEMA:
            raise BadInput(f"the boots of a machine have another format than {SCHEMA}: a newer server wrote them")
        f.only("schema", "boot", "since", "address", "before", "copies")
        copies = tuple(
            BootCopy(each.line("boot", 36), each.line("address", 64), each.moment("seen"))
            for each in f.items("copies", MOST)
        )
        before = tuple(f.texts("before"))
        return cls(f.line("boot", 36), f.moment("since"), f.line("address", 64), before, copies)


@dataclass(frozen=True)
class BootVerdict:
    """`known`: what is kept from now on. `refused`: why the report is not taken, for who made it; "" when it is.
    `is_late`: nothing is done with it. `news`: what people are told, once; "" for nothing.
    """

    known: KnownBoots
    refused: str = ""
    is_late: bool = False
    news: str = ""


def judge(known: KnownBoots | None, boot: str, address: str, now: datetime) -> BootVerdict:
    """What it means that this boot reports now, from this address."""
    now = now.replace(microsecond=0)  # as it is written down
    if known is None:
        return BootVerdict(KnownBoots(boot, now, address))
    if boot == known.boot:
        return BootVerdict(known)
    if boot in {copy.boot for copy in known.copies}:
        words = (
            f"another machine with this identity runs, at {known.address}, boot {known.boot[:8]}: one of the two is a "
            "copy of the other's disk"
        )
        return BootVerdict(_with_copy(known, BootCopy(boot, address, now)), refused=words)
    if boot not in known.before:
        before = (known.boot, *known.before)[:MOST]
        return BootVerdict(replace(known, boot=boot, since=now, address=address, before=before))
    if now - known.since <= LATE:
        return BootVerdict(known, is_late=True)
    # it was there before the one that took its place, and still is
    before = tuple(each for each in known.before if each != boot)
    other = BootCopy(known.boot, known.address, now)
    back = _with_copy(replace(known, boot=boot, since=now, address=address, before=before), other)
    return BootVerdict(
        back, news=f"two machines have this identity, at {address} and {known.address}; the latter is refused"
    )


def _with_copy(known: KnownBoots, copy: BootCopy) -> KnownBoots:
    others = tuple(each for each in known.copies if each.boot != copy.boot)
    return replace(known, copies=(copy, *others)[:MOST])
