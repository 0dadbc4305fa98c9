"""Every key of `[X-Fleet]`: one entry each, from which reading and the reference page come.

The first are fleet's own, with its meaning; then its old names for them; then what is new here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FleetKey(StrEnum):
    MACHINE_ID = "MachineID"
    MACHINE_OF = "MachineOf"
    METADATA = "MachineMetadata"
    CONFLICTS = "Conflicts"
    REPLACES = "Replaces"
    GLOBAL = "Global"
    REPLICAS = "Replicas"
    MAX_PER_MACHINE = "MaxPerMachine"
    CPU = "CPU"
    MEMORY = "Memory"
    PORTS = "Ports"
    RESOURCES = "Resources"
    PREFER = "Prefer"
    PREFER_WITH = "PreferWith"
    AVOID = "Avoid"
    SPREAD = "Spread"
    PRIORITY = "Priority"
    PARTITION = "WhenPartitioned"


@dataclass(frozen=True)
class FleetKeyEntry:
    """`value` is what may stand behind it; `is_new`: fleet did not have it."""

    key: FleetKey
    value: str
    doc: str
    is_new: bool = False


ENTRIES = (
    FleetKeyEntry(FleetKey.MACHINE_ID, "a machine's 32 digits, or their first 8",
                  "Only on this machine. When it is given more than once, the first counts."),
    FleetKeyEntry(FleetKey.MACHINE_OF, "names of units",
                  "Only on the machine that all of these are placed on; it waits for them, and moves with them."),
    FleetKeyEntry(FleetKey.METADATA, "KEY=VALUE",
                  "Only on machines with this metadata. Values of one key are alternatives; of all keys one must fit."),
    FleetKeyEntry(FleetKey.CONFLICTS, "patterns of names",
                  "Not beside units whose names these match. It holds whichever of the two says so."),
    FleetKeyEntry(FleetKey.REPLACES, "patterns of names",
                  "It takes the place of units whose names these match: they go to other machines."),
    FleetKeyEntry(FleetKey.GLOBAL, "true or false",
                  "On every machine that may run it. When it is given more than once, the last counts."),
    FleetKeyEntry(FleetKey.REPLICAS, "1 to 1000",
                  "Of a template: so many instances of it run, from 1 on.", is_new=True),
    FleetKeyEntry(FleetKey.MAX_PER_MACHINE, "1 to 1000",
                  "At most so many instances of its template on one machine.", is_new=True),
    FleetKeyEntry(FleetKey.CPU, "cores: 2, 0.5 or 250m",
                  "What it is given of a machine's processors; never promised twice. Sets CPUWeight=.", is_new=True),
    FleetKeyEntry(FleetKey.MEMORY, "bytes: 64M, 2G",
                  "What it is given of a machine's memory; never promised twice. Sets MemoryMax=.", is_new=True),
    FleetKeyEntry(FleetKey.PORTS, "ports: 8080, 53/udp",
                  "What it takes of a machine's ports: no two units on a machine have the same.", is_new=True),
    FleetKeyEntry(FleetKey.RESOURCES, "NAME=COUNT",
                  "What it takes of other things that a machine offers, such as gpu=1.", is_new=True),
    FleetKeyEntry(FleetKey.PREFER, "KEY=VALUE",
                  "Rather on machines with this metadata; elsewhere when there is no room.", is_new=True),
    FleetKeyEntry(FleetKey.PREFER_WITH, "patterns of names", "Rather beside such units.", is_new=True),
    FleetKeyEntry(FleetKey.AVOID, "patterns of names", "Rather not beside such units.", is_new=True),
    FleetKeyEntry(FleetKey.SPREAD, "a key of metadata, or machine",
                  "Instances of its template evenly over this key's values, as far as there is room.", is_new=True),
    FleetKeyEntry(FleetKey.PRIORITY, "0 to 1000",
                  "Who is placed first when not all fit; 100 unless given.", is_new=True),
    FleetKeyEntry(FleetKey.PARTITION, "keep or stop",
                  "What a machine that is cut off from the cluster does with it; keep unless given.", is_new=True),
)  # fmt: skip
BY_KEY = {entry.key: entry for entry in ENTRIES}
# fleet's names of before; each with what it is read as, before the present name is
OLD = {
    "X-ConditionMachineID": FleetKey.MACHINE_ID,
    "X-ConditionMachineBootID": FleetKey.MACHINE_ID,
    "X-ConditionMachineOf": FleetKey.MACHINE_OF,
    "X-ConditionMachineMetadata": FleetKey.METADATA,
    "X-Conflicts": FleetKey.CONFLICTS,
}
