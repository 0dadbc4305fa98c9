"""docs/reference/units.md, from the table of keys: `python -m orlop.model.fleet.reference`."""

from __future__ import annotations

import sys

from orlop.model.fleet.keys import ENTRIES, OLD
from orlop.model.fleet.name import LONGEST, QUADLET, SYSTEMD, WITH_INSTANCES
from orlop.model.fleet.requirements import USUAL_PRIORITY
from orlop.model.fleet.unitfile import LARGEST, LONGEST_LINE

_HEAD = f"""\
# What a unit may say

Made from the table in `orlop/model/fleet/keys.py`; do not edit. How it is used:
[Run a service on many machines](../guide/units.md).

A unit is a file of systemd (`.{"`, `.".join(SYSTEMD)}`)
or of Quadlet (`.{"`, `.".join(QUADLET)}`), of at most {LARGEST >> 10} KiB, with lines
shorter than {LONGEST_LINE} bytes. Its name has at most {LONGEST} of the characters `A-Z a-z 0-9 : _ . \\ @ -`.
Of {", ".join(f"`.{kind}`" for kind in WITH_INSTANCES)} there are
templates, `web@.container`, and instances, `web@1.container`. Names that begin with `orlop-` are the system's own.

What the cluster reads is in the section `[X-Fleet]`, which systemd and Quadlet skip. `%n`, `%N`, `%p` and `%i` stand
for the unit's name, its name without type, what is before the @, and what is behind it. Several values stand in several
lines, or in quotes in one: `MachineMetadata="disk=ssd" "disk=nvme"`. A key that is not known, metadata that is no
`KEY=VALUE` and a pattern that cannot match are refused with their line; `--lenient` ignores them, as fleet did.

Patterns are Go's `path.Match`: `*`, `?`, `[a-z]`, `[^a-z]`, and `\\` before a character that stands for itself.

"""
_TAIL = f"""
Old names of keys are read: {", ".join(f"`{old}` as `{key}`" for old, key in OLD.items())}.

Refused are, as they hold nowhere: `MachineID` with `MachineOf`, `Conflicts`, `Replaces` or `Global`; `Global` with
`MachineOf`, `Replaces` or `Replicas`; `Conflicts` with `Replaces`; a `MachineOf` that the unit's own `Conflicts` or
`Replaces` matches.

Who is placed first: higher `Priority` ({USUAL_PRIORITY} unless given), then the name. Where: of the machines that may
run it, the one that meets most wishes (`Prefer`, `PreferWith`, `Avoid`), then the one with the fewest instances of the
same template (`Replicas`, `Spread`), then the one with the fewest units. What runs stays where it is as long as it may.

A unit finds who it is in its environment: `ORLOP_UNIT`, and `ORLOP_EPOCH`, a number that is larger for whoever got
the unit later.
"""


def markdown() -> str:
    rows = [
        f"| `{entry.key}=` | {entry.value} | {entry.doc} | {'' if entry.is_new else 'fleet'} |" for entry in ENTRIES
    ]  # fmt: skip
    return _HEAD + "\n".join(["| key | value | what it does | from |", "|---|---|---|---|", *rows, ""]) + _TAIL


if __name__ == "__main__":
    sys.stdout.write(markdown())
