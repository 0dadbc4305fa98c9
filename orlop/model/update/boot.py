"""Which UKI systemd-boot starts, from the names of the files in EFI/Linux alone.

    orlop_20261201.2+3-0.efi      three tries left, none made
    orlop_20261201.2+0-3.efi      three tries made, none left: *bad*, sorted behind all that are not
    orlop_20261201.1.efi          blessed: no counter

The rule is that of systemd 257 (src/boot/boot.c: `boot_entry_compare`, `boot_entry_parse_tries`,
`boot_entry_bump_counters`) for entries with the same sort key, which ours have (IMAGE_ID=orlop): no tries left goes
last; then the newer version first; then more tries left, fewer tries made. When every entry is bad it still starts the
first one. It holds while no default entry is set, neither in loader.conf nor in an EFI variable: systemd 257 honours a
default even with no tries left, so nothing of Orlop ever sets one. What the initrd may name, when a version fails in it
again and again, is an entry that is started once (LoaderEntryOneShot, which systemd-boot clears).

Each UKI is two entries, because it has a second profile, *(factory reset)*, which erases /var. It is never the first of
the order, whatever the counters: both entries of a file have that file's counters, so that both are bad or neither is,
and with that equal the sort key decides, `SORT_KEY` before `RESET_SORT_KEY`. So for each reset there is an entry of the
same file that comes before it. (With one sort key for both, systemd 257 goes on to compare ids, the greater one first,
and `orlop_….efi@factory-reset` is greater than `orlop_….efi`: it would reset at every start.)

The updater writes to the ESP by this rule, and the proof that it cannot make a machine unbootable judges by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orlop.errors import BadInput
from orlop.model.words.version import TRIES, Version

SORT_KEY, RESET_SORT_KEY = "orlop", "orlop-reset"  # IMAGE_ID in the os-release of each profile
FOLDER = "EFI/Linux"
_NAME = re.compile(r"orlop_(\d{8}\.\d{1,5})(?:\+(\d{1,9})(?:-(\d{1,9}))?)?\.efi", re.ASCII | re.IGNORECASE)
SUFFIX = ".efi"
_PART = ".part"


@dataclass(frozen=True)
class Uki:
    """A UKI by its name. `left` and `done` are the counters, None for one that is blessed."""

    version: Version
    left: int | None = None
    done: int = 0

    @classmethod
    def fresh(cls, version: Version) -> Uki:
        """As an update publishes it."""
        return cls(version, TRIES, 0)

    @classmethod
    def parse(cls, name: str) -> Uki | None:
        """None when systemd-boot would not start it, or it is none of ours."""
        m = _NAME.fullmatch(name)
        if not m:
            return None
        try:
            version = Version.parse(m[1])
        except BadInput:
            return None
        return cls(version, None if m[2] is None else int(m[2]), int(m[3] or 0))

    @property
    def name(self) -> str:
        counter = "" if self.left is None else f"+{self.left}-{self.done}"
        return f"orlop_{self.version}{counter}.efi"

    @property
    def bad(self) -> bool:
        return self.left == 0

    @property
    def blessed(self) -> bool:
        return self.left is None

    def tried(self) -> Uki:
        """As systemd-boot renames it before it starts it."""
        return self if self.left is None else replace(self, left=max(self.left - 1, 0), done=self.done + 1)

    def bless(self) -> Uki:
        return Uki(self.version)

    def demoted(self) -> Uki:
        """Behind every entry that is not bad, and still there when nothing else is."""
        return replace(self, left=0)


def part_name(version: Version) -> str:
    """What a UKI is called while it is written. No name ending so is ever started."""
    return f"orlop_{version}{_PART}"


def is_stray(name: str) -> bool:
    """One of ours by its short name alone, which is what a cut in a rename on FAT can leave: `ORLOP_~1.EFI`."""
    return name.lower().startswith("orlop_") and name.lower().endswith(SUFFIX) and Uki.parse(name) is None


def is_part(name: str) -> bool:
    return name.lower().startswith("orlop_") and name.lower().endswith(_PART)


def order(names: Iterable[str]) -> list[Uki]:
    """The entries in the order systemd-boot tries them: the first is started."""
    ukis = {uki.name: uki for name in names if (uki := Uki.parse(name))}
    return sorted(ukis.values(), key=_rank)


def _rank(uki: Uki) -> tuple[bool, int, int, int, int]:
    day, number = uki.version.day.toordinal(), uki.version.number
    # of two names of one version, which a file system may show after a cut in a rename, both are the same file
    left = -1 if uki.left is None else uki.left
    return (uki.bad, -day, -number, -left, uki.done)


def first(names: Iterable[str]) -> Uki | None:
    """What the machine starts next, or None when there is nothing to start."""
    return next(iter(order(names)), None)
