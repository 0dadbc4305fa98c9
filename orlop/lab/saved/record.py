"""saved.json: what a saved lab was made from, so that anything else is refused before a machine is started.

Lifetime: written last into the folder of a saved lab, and never changed. What is read is checked here once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from orlop.errors import BadInput
from orlop.lab import state
from orlop.lab.state import LabState
from orlop.model.words.strict import Fields, parse_json

SCHEMA = 1
MAX_BYTES = 16 << 20
MAX_NUMBER = 1 << 63


@dataclass(frozen=True)
class Record:
    """`saved`: seconds since 1970. `lab`: the lab's own record then, without processes; paths of files that were saved
    too are their names. `running`: which of its machines were on. `qemu`: its version, `processor`: what KVM shows its
    machines, each "" where that does not matter. `disk`: the fingerprint of the image's disk. `definitions`: by whole
    machine. `files`: their lengths in bytes, by their names in the folder; /var of container machines is not listed.
    """

    name: str
    saved: int
    lab: LabState
    running: tuple[str, ...]
    qemu: str
    processor: str
    disk: str
    definitions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)


def dump(record: Record) -> str:
    table = {"schema": SCHEMA, **asdict(record), "lab": json.loads(state.dump(record.lab))}
    return json.dumps(table, indent=1) + "\n"


def parse(text: str) -> Record:
    """Raises BadInput for anything `dump` does not write."""
    top = Fields.of("", parse_json(text.encode(errors="replace"), MAX_BYTES))
    if (schema := top.value("schema", int)) != SCHEMA:
        raise BadInput(f"its schema is {schema}, this orlop reads {SCHEMA}")
    lab = state.of(top.fields("lab"))
    running = top.texts("running", must=True)
    if not {n.name for n in lab.nodes}.issuperset(running):
        raise BadInput(f"running is {running!r}, not a list of the lab's machines")
    definitions, files = top.fields("definitions"), top.fields("files")
    return Record(
        name=top.value("name", str),
        saved=top.number("saved", 0, MAX_NUMBER),
        lab=lab,
        running=tuple(running),
        qemu=top.value("qemu", str),
        processor=top.value("processor", str),
        disk=top.value("disk", str),
        definitions={name: definitions.value(name, str) for name in definitions.values},
        files={name: files.number(name, 0, MAX_NUMBER) for name in files.values},
    )
