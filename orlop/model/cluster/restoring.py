"""Whether a server may begin its cluster anew from a snapshot: what it is refused for, in the order of what it costs.

Invariants: no server that has data of a store gives them up by this, and there are never two stores of one cluster: it
is refused as long as any server of the cluster answers or waits for a quorum. A snapshot is the cluster's own, unless
whose it is was said. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from orlop.errors import BadInput, Busy, OrlopError

_RESET = "`orlop node reset` empties a machine; what is wanted of it must be saved first: `orlop cluster backup`"


@dataclass(frozen=True)
class RestoringServer:
    """The server it is asked of. `ca`: the SHA-256 of its cluster's CA. `answers`: another server with a store that
    answers, `waits`: one with a store that has no quorum; both "" when there is none.
    """

    name: str
    ca: str
    has_data: bool = False
    answers: str = ""
    waits: str = ""


@dataclass(frozen=True)
class SnapshotOrigin:
    """Whose a snapshot is, as its store says: a cluster's name and the SHA-256 of its CA; "" for what it does not."""

    name: str = ""
    ca: str = ""

    @property
    def called(self) -> str:
        return f"cluster {self.name}" if self.name else "something that is not a cluster of Orlop"


def server_refusal(server: RestoringServer) -> OrlopError | None:
    """What can be said before there is a snapshot."""
    if server.has_data:
        return Busy("this server has data of a store already: they are not written over", hint=_RESET)
    if server.answers:
        return Busy(
            f"the cluster is there: {server.answers} has its store, and answers",
            hint="this server joins it by itself; only a cluster that is lost is restored",
        )
    if server.waits:
        return Busy(
            f"{server.waits} has data of a store that waits for more of its members: beside it, there would be two",
            hint=f"start its other members; if they are lost, take {server.waits} off or reset it first",
        )
    return None


def snapshot_refusal(server: RestoringServer, origin: SnapshotOrigin, said: str) -> OrlopError | None:
    """`said`: of which cluster the operator says that the snapshot is, "" when nothing is said."""
    if said:
        if said == origin.name:
            return None
        return BadInput(f"the snapshot is of {origin.called}, not of {said}", hint="name the cluster it is of")
    if origin.name != server.name:
        return BadInput(
            f"the snapshot is of {origin.called}, and this server is of cluster {server.name}",
            hint=f"if that is what you want, say so: --of {origin.name or 'NAME'}",
        )
    if origin.ca and origin.ca != server.ca:
        return BadInput(
            f"the snapshot is of another cluster that is called {server.name} too: its CA is not this one's",
            hint=f"if the keys were made anew and this is what you want, say so: --of {origin.name}",
        )
    return None
