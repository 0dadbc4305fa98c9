"""What a server can do about the members of the store, each with its reason, which is what people read. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orlop.model.cluster.member import Member, StoreAlarm


@dataclass(frozen=True)
class LeaveAlone:
    """Nothing to do. `is_well`: because all is as it should be."""

    why: str
    is_well: bool = False


@dataclass(frozen=True)
class Form:
    """Make a new store, of which this server is the only member."""

    why: str


@dataclass(frozen=True)
class Join:
    """Be added as a learner, and start."""

    why: str


@dataclass(frozen=True)
class Start:
    """Start etcd with the data that are there, or as the member that was added."""

    why: str


@dataclass(frozen=True)
class Readdress:
    """Tell the others at which address this machine's member is now."""

    member: Member
    why: str


@dataclass(frozen=True)
class Offer:
    """Say in the store that this server could be a member, for as long as it can. `is_well`: it is not needed now."""

    why: str
    is_well: bool = False


@dataclass(frozen=True)
class Anew:
    """Stop etcd and remove its data: they are of a member that there is no more."""

    why: str


@dataclass(frozen=True)
class Promote:
    member: Member
    why: str


@dataclass(frozen=True)
class Remove:
    member: Member
    why: str


@dataclass(frozen=True)
class HandOver:
    """Let another voter lead."""

    member: Member
    why: str


@dataclass(frozen=True)
class Compact:
    """Give up the history before this revision."""

    revision: int
    why: str


@dataclass(frozen=True)
class Defragment:
    """Give what is free in a member's database back to its disk. It answers nobody meanwhile."""

    member: Member
    why: str


@dataclass(frozen=True)
class Disarm:
    """End an alarm: what it was about is over."""

    alarm: StoreAlarm
    why: str


MemberAction = LeaveAlone | Form | Join | Start | Readdress | Offer | Anew | Promote | Remove
Healing = HandOver | Compact | Defragment | Disarm
Action = MemberAction | Healing
