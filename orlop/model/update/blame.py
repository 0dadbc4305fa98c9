"""Whom a bad verdict is about: the version that runs, or what is around it.

Each check that failed has a kind (`KINDS`), which the health check of the machine gives it, and perhaps what it is
about: `workload:web.service`. A kind is of one of four classes:

    blamed     the version's own: it is left at once, and denied
    compared   perhaps the version's: it is left at once, and denied when the version before does better
    waited     what is wrong around the machine: it is waited for first, within a limit, and then compared
    never      the machine's own, which the way back mends: the version is left at once, and not denied for it, nor
               for anything that may have come of it

A version that ended without a verdict, in a panic or by tries that were used up, is compared as well, but is excused
only when something around the machine is wrong there too.

Invariant: a denial is for what the version before does not have, or for what no other version can have brought; and
`sentence` of it says which of the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from orlop.model.words.version import Version


class Class(StrEnum):
    BLAMED = "blamed"
    COMPARED = "compared"
    WAITED = "waited"
    NEVER = "never"


KINDS = {
    "usr": Class.BLAMED,  # /usr, its checking by dm-verity, and the slot it is on
    "podman": Class.BLAMED,
    "agent": Class.BLAMED,
    "system": Class.BLAMED,  # units of the image
    "boot": Class.BLAMED,
    "settings": Class.COMPARED,  # of the health check
    "user": Class.COMPARED,  # the user's checks
    "workload": Class.COMPARED,  # units of the configuration
    "storage": Class.NEVER,  # errors of the file system of /var: comparing would blame the boot before its check
    "network": Class.WAITED,
    "var": Class.WAITED,  # full, or it refuses writes
    "time": Class.WAITED,
    "image": Class.WAITED,  # of a workload, which could not be fetched
    "data": Class.WAITED,  # a disk or file system of the configuration's
}


def class_of(failure: str) -> Class:
    """Of one failure, `KIND` or `KIND:ABOUT`. A kind that is not known is the version's own."""
    return KINDS.get(kind_of(failure), Class.BLAMED)


def kind_of(failure: str) -> str:
    return failure.partition(":")[0]


@dataclass(frozen=True)
class Finding:
    """`sentence` says what decided; empty when nothing had to be compared."""

    deny: bool
    sentence: str


def compare(failed: Iterable[str], before: Version, good: bool | None, there: Iterable[str]) -> Finding | None:
    """Whether a version that failed so is to blame; None: not to be known before `before` has its verdict.

    `good` is the verdict of the version that runs instead, on its present boot, and `there` what failed in it.
    """
    failures = tuple(failed)
    if never := sorted({kind_of(f) for f in failures if class_of(f) is Class.NEVER}):
        return Finding(deny=False, sentence=f"{' and '.join(never)} is the machine's own, not the version's")
    if any(class_of(f) is Class.BLAMED for f in failures):
        return Finding(deny=True, sentence="")
    if good is None:
        return None
    same = {_as_compared(f) for f in there}
    if not failures:  # nothing is known of it but that it did not come up
        around = sorted({kind_of(f) for f in there if class_of(f) is Class.WAITED})
        if good or not around:
            return Finding(deny=True, sentence=f"compared with {before}, which comes up" if good else "")
        return Finding(deny=False, sentence=f"{' and '.join(around)} is bad under {before} too")
    only = sorted({_as_compared(f) for f in failures} - same)
    if only:
        return Finding(deny=True, sentence=f"compared with {before}, where {' and '.join(only)} is well")
    bad = sorted({_as_compared(f) for f in failures})
    return Finding(deny=False, sentence=f"{' and '.join(bad)} is bad under {before} too")


def _as_compared(failure: str) -> str:
    """What is around a machine is one thing, whoever notices it."""
    return kind_of(failure) if class_of(failure) is Class.WAITED else failure
