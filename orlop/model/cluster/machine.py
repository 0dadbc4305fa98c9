"""What the control plane keeps of a machine of the cluster: its record, and what it last reported.

    record   who it is and what people decided about it: written by joining, cordon, expel; few writes
    report   how it is: written for the machine every half minute; never waited for by anybody

They are two keys, so that reports do not wake those who watch records. Both are JSON with a schema number; who reads
them refuses what it does not know. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orlop.errors import BadInput
from orlop.model.cluster.names import Role
from orlop.model.words.record import record_fields, record_text
from orlop.model.words.strict import Fields, stamp

SCHEMA = 1
LARGEST = 16_384  # bytes of either
REPORT_SECONDS = 30.0  # between two reports of a machine, give or take a fifth
AWAY = timedelta(seconds=100)  # after three that did not come
MOST_ADDRESSES = 16
_DIGITS = "0123456789abcdef"


def machine_trouble(text: str) -> str:
    """Why it is not the name of a machine; empty when it is."""
    if len(text) == 32 and set(text) <= set(_DIGITS):
        return ""
    return f"{text[:40]!r} is not a valid name of a machine: it must be 32 hexadecimal digits"


@dataclass(frozen=True)
class MachineRecord:
    """`key`: the SHA-256 of its public key (DER); `token`: the id of the one it came in by; `cordoned`: why it gets no
    new work, empty when it gets some.
    """

    machine: str
    role: Role
    host: str
    key: str
    token: str
    joined: datetime
    cordoned: str = ""

    def cordon(self, reason: str) -> MachineRecord:
        return replace(self, cordoned=reason)

    def text(self) -> bytes:
        return record_text(self.shown())

    def shown(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "machine": self.machine, "role": str(self.role), "host": self.host, "key": self.key,
            "token": self.token, "joined": stamp(self.joined), "cordoned": self.cordoned,
        }  # fmt: skip

    @classmethod
    def read(cls, raw: bytes) -> MachineRecord:
        """Raises BadInput."""
        f = record_fields("the record of a machine", raw, schema=SCHEMA, most=LARGEST)
        f.only("schema", "machine", "role", "host", "key", "token", "joined", "cordoned")
        return cls(_machine(f), Role(f.choice("role", *Role)), f.line("host", 64), f.sha256("key"), f.line("token", 16),
                   f.moment("joined"), f.line("cordoned", 200, empty=True))  # fmt: skip


@dataclass(frozen=True)
class MachineReport:
    """`boot`: the kernel's id of this boot; `version`: of the OS; `verdict`: good, bad or waiting, with `reason`."""

    machine: str
    boot: str
    version: str
    verdict: str
    reason: str
    addresses: tuple[str, ...]
    at: datetime

    def text(self) -> bytes:
        return record_text(self.shown())

    def shown(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "machine": self.machine, "boot": self.boot, "version": self.version,
            "verdict": self.verdict, "reason": self.reason, "addresses": list(self.addresses), "at": stamp(self.at),
        }  # fmt: skip

    @classmethod
    def read(cls, raw: bytes) -> MachineReport:
        """Raises BadInput."""
        f = record_fields("the report of a machine", raw, schema=SCHEMA, most=LARGEST)
        f.only("schema", "machine", "boot", "version", "verdict", "reason", "addresses", "at")
        addresses = f.texts("addresses")
        if len(addresses) > MOST_ADDRESSES:
            raise BadInput(f"the report of a machine has {len(addresses)} addresses, at most {MOST_ADDRESSES} are read")
        verdict = f.choice("verdict", "good", "bad", "waiting")
        return cls(_machine(f), f.line("boot", 36), f.line("version", 20), verdict,
                   f.line("reason", 500, empty=True), tuple(addresses), f.moment("at"))  # fmt: skip


def presence(report: MachineReport | None, now: datetime) -> str:
    """How a machine is, in a word and its reason, for lists."""
    if report is None:
        return "new: it has not reported yet"
    silent = now - report.at
    if silent > AWAY:
        return f"away: last heard of {int(silent.total_seconds())} s ago"
    return report.verdict + (f": {report.reason}" if report.reason else "")


def _machine(f: Fields) -> str:
    machine = f.line("machine", 32)
    if trouble := machine_trouble(machine):
        raise BadInput(trouble)
    return machine
