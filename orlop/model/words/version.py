"""The version of a release, and the names on disk that carry it.

A version is `YYYYMMDD.N`: the day it was made and its number on that day, compared by date, then number. The names are
the on-disk contract of the updates (GPT partition labels, UKI file names), shaped so that systemd-sysupdate reads them
(sysupdate.d(5)) and systemd-boot counts tries in them (systemd-boot(7), *Boot Counting*).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from orlop.errors import BadInput

TRIES = 3
_PATTERN = re.compile(r"(\d{4})(\d{2})(\d{2})\.(0|[1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, order=True)
class Version:
    """`day` and `number` (0 to 99999)."""

    day: date
    number: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises BadInput unless `text` is `YYYYMMDD.N` with a day that exists and no leading zero in N."""
        m = _PATTERN.fullmatch(text)
        try:
            if m:
                return cls(date(int(m[1]), int(m[2]), int(m[3])), int(m[4]))
        except ValueError:
            pass
        raise BadInput(f"{text!r} is not a version", hint="a version is YYYYMMDD.N, for example 20261201.1")

    @classmethod
    def is_version(cls, text: str) -> bool:
        try:
            cls.parse(text)
        except BadInput:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.day:%Y%m%d}.{self.number}"

    @property
    def epoch(self) -> int:
        """The one time stamp of everything in the image, in seconds: the first moment of its day, UTC."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp())

    @property
    def usr_label(self) -> str:
        return f"orlop_{self}"

    @property
    def verity_label(self) -> str:
        return f"orlop_{self}_verity"

    @property
    def uki_name(self) -> str:
        """The UKI's file name on the ESP before its first boot."""
        return f"orlop_{self}+{TRIES}-0.efi"
