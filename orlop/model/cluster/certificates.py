"""Who has which certificate in a cluster, for how long, and when it is made anew.

    cluster CA   signs machines (CN: the machine, O: orlop:ROLE) and the control API's servers. Everyone trusts it.
    store CA     signs members of the store and their clients, on servers only. etcd trusts it, and nothing else:
                 through its JSON gateway a certificate's name says nothing, so the CA alone says who may enter.

All keys are P-256. A certificate is made anew when less than two thirds of its life are left, or when it is not valid
at all now: a clock that was off by years when it was made is mended by the next look. Members of the store need both
extended key usages: etcd's gateway dials etcd itself with the server's certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from orlop.model.cluster.names import Role
from orlop.model.words.strict import stamp

CA_LIFE = timedelta(days=3650)
MEMBER_LIFE = timedelta(days=90)  # of the store's; made at each boot, too
MACHINE_LIFE = timedelta(days=30)
OPERATOR_LIFE = timedelta(hours=12)
BACKDATED = timedelta(minutes=5)  # so that a neighbour whose clock is a little behind takes it
TOKEN_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Life:
    """From when to when a certificate is valid."""

    begins: datetime
    ends: datetime

    def due(self, now: datetime) -> str:
        """Why it must be made anew now; empty when it need not."""
        if now < self.begins:
            return f"it is valid only from {stamp(self.begins)} on, and it is {stamp(now)}: the clock was set back"
        if now >= self.ends:
            return f"it ended at {stamp(self.ends)}"
        if now >= self.begins + (self.ends - self.begins) / 3:
            return f"a third of its life is over: it ends at {stamp(self.ends)}"
        return ""


def subject(role: Role, machine: str) -> str:
    """Of a machine's certificate, as openssl's -subj takes it."""
    return f"/O=orlop:{role}/CN={machine}"


def alternative_names(hosts: Iterable[str]) -> str:
    """The value of subjectAltName for these names and addresses, each once, and for the machine itself."""
    unique = dict.fromkeys(("localhost", "127.0.0.1", "::1", *hosts))
    return ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in unique)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
