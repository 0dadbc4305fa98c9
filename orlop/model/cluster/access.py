"""Who may do what in a cluster: the roles, and for each right the roles that have it.

One table: the control API asks `refusal` before it does anything, and its reference page is made from `RIGHTS`. What is
not in the table nobody may do. A machine has rights on *its own* things only, whatever else it asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Access(StrEnum):
    """What somebody is to the control API. People's roles are separate: an auditor is not a weaker operator."""

    MACHINE = "machine"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    AUDITOR = "auditor"


PEOPLE = (Access.VIEWER, Access.OPERATOR, Access.ADMIN, Access.AUDITOR)


class Right(StrEnum):
    REPORT = "report"
    RENEW = "renew"
    WATCH_OWN = "watch own"
    TAKE_LOCK = "take and give back the reboot lock"
    SEE_MACHINES = "see machines"
    CORDON = "cordon machines"
    EXPEL = "expel machines"
    SET_LOCKS = "release reboot locks and set their slots"
    MAKE_TOKENS = "make and revoke tokens"
    SEE_AUDIT = "see the audit log"
    WORK = "do its work"
    SEE_UNITS = "see units"
    CHANGE_UNITS = "change units"


_READ = frozenset({Access.VIEWER, Access.OPERATOR, Access.ADMIN, Access.AUDITOR})
RIGHTS: Mapping[Right, frozenset[Access]] = {
    Right.REPORT: frozenset({Access.MACHINE}),
    Right.RENEW: frozenset({Access.MACHINE}),
    Right.WATCH_OWN: frozenset({Access.MACHINE}),
    Right.TAKE_LOCK: frozenset({Access.MACHINE}),
    Right.SEE_MACHINES: _READ,
    Right.CORDON: frozenset({Access.OPERATOR, Access.ADMIN}),
    Right.EXPEL: frozenset({Access.ADMIN}),
    Right.SET_LOCKS: frozenset({Access.OPERATOR, Access.ADMIN}),
    Right.MAKE_TOKENS: frozenset({Access.ADMIN}),
    Right.SEE_AUDIT: frozenset({Access.ADMIN, Access.AUDITOR}),
    Right.WORK: frozenset({Access.MACHINE}),
    Right.SEE_UNITS: _READ,
    Right.CHANGE_UNITS: frozenset({Access.OPERATOR, Access.ADMIN}),
}
_OWN = frozenset({Right.REPORT, Right.RENEW, Right.WATCH_OWN, Right.TAKE_LOCK, Right.WORK})


@dataclass(frozen=True)
class Caller:
    """`name`: a machine's 32 digits, or what a person is called; `via`: how that is known, for the audit log; `until`:
    when it is not known any more, None where the certificate of the connection says it.
    """

    access: Access
    name: str
    via: str
    until: datetime | None = None

    @property
    def called(self) -> str:
        return f"{self.access} {self.name}"


def refusal(caller: Caller | None, right: Right, machine: str = "") -> str:
    """Why the caller may not; empty when it may. `machine`: whose things it is about."""
    if caller is None:
        return "who asks is not known: this needs a machine's or a person's certificate, or a bearer token"
    if caller.access not in RIGHTS[right]:
        return f"{caller.called} may not {right}: that is for {', '.join(sorted(RIGHTS[right]))}"
    if right in _OWN and caller.name != machine:
        return f"{caller.called} may do this only for itself, not for machine {machine}"
    return ""
