"""What the world around a lab's machines is like, where it is not kind: the words of `orlop lab up`, as one value.

Why: machines out there have cards without a cable, networks where nobody gives addresses, slow disks, clocks that are
wrong. A machine that only ever met a kind world has proven nothing. Lifetime: of the lab; what is unplugged at first is
plugged in by `orlop lab heal`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orlop.errors import BadInput

SECTORS = (512, 4096)
_OFFSET = re.compile(r"([+-][0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_YEARS = (1980, 2099)  # what the PC's clock can say
_MOST_OFF = timedelta(days=365 * 30)


class Uplink(StrEnum):
    """The words of `--nic`: what the machines' cards meet when they are first powered on.

    none: there is no card. no-carrier: nobody put a cable in. no-dhcp: the cable leads to a switch that leads nowhere.
    """

    DHCP = "dhcp"
    NONE = "none"
    NO_CARRIER = "no-carrier"
    NO_DHCP = "no-dhcp"


@dataclass(frozen=True)
class Conditions:
    """`sector`: bytes, of the further disks. `is_disk_slow`: all disks are. `is_disk_gone`: the first of the further
    disks is there when a machine is first powered on, and never again. `clock`: a date that the hardware's clock begins
    at whenever power comes, or how far from right it is (`+3d`); "": it is right.

    Raises BadInput for a clock that cannot be, and for a size of sectors that no disk has.
    """

    nic: Uplink = Uplink.DHCP
    is_ipv6_only: bool = False
    is_disk_slow: bool = False
    sector: int = 512
    is_disk_gone: bool = False
    clock: str = ""

    def __post_init__(self) -> None:
        if self.sector not in SECTORS:
            raise BadInput(f"--sector {self.sector} is not possible", hint="give 512 or 4096, in bytes")
        if self.clock and _offset(self.clock) is None and _date(self.clock) is None:
            raise BadInput(
                f"--clock {self.clock!r} is not a time",
                hint="give a date or a time of UTC of the years 1980 to 2099, as in 2001-01-01 or 2035-06-01T12:00:00; "
                "or how far the clock is off, as in +3d or -10m, at most 30 years",
            )

    @property
    def is_hard(self) -> bool:
        return self != Conditions()

    @property
    def begins_cut(self) -> bool:
        """Whether nothing leads out of a machine when it is first powered on."""
        return self.nic in (Uplink.NO_CARRIER, Uplink.NO_DHCP)

    @property
    def has_cards(self) -> bool:
        return self.nic is not Uplink.NONE

    @property
    def has_ipv4(self) -> bool:
        """Whether this computer can meet a machine on its network, once nothing is unplugged: it does by IPv4."""
        return self.has_cards and not self.is_ipv6_only

    def words(self) -> list[str]:
        """The options that say it, without their dashes."""
        options = {
            f"nic {self.nic}": self.nic is not Uplink.DHCP,
            "ipv6-only": self.is_ipv6_only,
            "slow-disk": self.is_disk_slow,
            f"sector {self.sector}": self.sector != SECTORS[0],
            "disk-gone": self.is_disk_gone,
            f"clock {self.clock}": bool(self.clock),
        }
        return [words for words, is_given in options.items() if is_given]

    def clock_at(self, now: datetime) -> str:
        """What the hardware's clock begins at when power comes now, as QEMU takes it; "": the right time."""
        if not self.clock:
            return ""
        offset = _offset(self.clock)
        wrong = _date(self.clock) if offset is None else now + offset
        assert wrong is not None
        return wrong.strftime("%Y-%m-%dT%H:%M:%S")

    def check(self, data_disks: int) -> None:
        """Raise BadInput for what needs a further disk, without one."""
        for option, is_given in (("--sector", self.sector != SECTORS[0]), ("--disk-gone", self.is_disk_gone)):
            if is_given and not data_disks:
                raise BadInput(
                    f"{option} needs a further disk, and there is none",
                    hint="the system's disk is what the image was made for, and there always; --data-disk MIB gives "
                    "a further one",
                )

    def check_containers(self) -> None:
        """Raise BadInput for what a container machine cannot meet."""
        disks = "a container machine has the kernel, and the disks, of its computer"
        for option, is_given, why in (
            ("--slow-disk", self.is_disk_slow, disks),
            ("--sector", self.sector != SECTORS[0], disks),
            ("--disk-gone", self.is_disk_gone, disks),
            ("--clock", bool(self.clock), "a container machine has the kernel, and the clock, of its computer"),
            ("--ipv6-only", self.is_ipv6_only, "what leads out of a container machine always gives it IPv4 too"),
        ):
            if is_given:
                raise BadInput(f"{option} is for whole machines: {why}", hint="leave it out, or take `--kind vm`")


def _offset(text: str) -> timedelta | None:
    m = _OFFSET.fullmatch(text)
    off = timedelta(**{_UNITS[m[2]]: int(m[1])}) if m else None
    return off if off is None or abs(off) <= _MOST_OFF else None


def _date(text: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo is None and _YEARS[0] <= date.year <= _YEARS[1] else None
