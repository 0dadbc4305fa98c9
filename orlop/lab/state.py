"""lab.json: which machines a lab has, how they were made and which processes they are.

Lifetime: written first when a lab is made, whole at every change (`orlop.files.write_atomic`) and always under the lock
`.orlop/lab.lock`; gone with the lab's folder. What is read is checked here once; inside travel frozen values. A record
that is missing or garbage is an error that names the way out: `orlop lab down` needs no record.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from orlop.errors import BadInput, Missing
from orlop.files import locked, write_atomic
from orlop.lab.conditions import Conditions, Uplink
from orlop.lab.paths import LabPaths
from orlop.lab.source import LabSource, parse_way
from orlop.machines.accel import Acceleration
from orlop.machines.kind import MachineKind
from orlop.machines.pids import ProcessId
from orlop.machines.ports import Forward
from orlop.model.words.strict import Fields, parse_json
from orlop.workspace import Workspace

SCHEMA = 1
LOCK_SECONDS = 60.0
_CPUS = 2  # of every machine, when records did not say it


@dataclass(frozen=True)
class NodeState:
    """One machine. `boots`: where in the console log each power-on began (bytes). `cut`: its network is unplugged.
    `source`: how it is given the user's configuration, if there is one. `data_disks`: how many empty disks it has.
    """

    name: str
    index: int
    ssh_port: int
    forwards: tuple[Forward, ...]
    cpus: int
    memory_mib: int
    media: bool = False
    cut: bool = False
    process: ProcessId | None = None
    boots: tuple[int, ...] = ()
    source: LabSource | None = None
    data_disks: int = 0
    kind: MachineKind = MachineKind.VM
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.ssh_port, *(f.host for f in self.forwards))


@dataclass(frozen=True)
class LabState:
    """`image` is the disk the nodes' own disks are layered over, `created` seconds since 1970. `usr`: the image's usr
    for container machines, a file, or a folder where it cannot be mounted; "" in a lab without such.

    `saved`: the saved lab that this one was restored from, or "". `born`: the folder of the lab that its machines were
    first made in, which their MAC addresses and UUIDs follow from; "" where that is this one.
    """

    name: str
    image: str
    version: str
    created: int
    acceleration: Acceleration
    run: str
    nodes: tuple[NodeState, ...]
    demo: bool = False
    switch: ProcessId | None = None
    usr: str = ""
    saved: str = ""
    born: str = ""

    @property
    def macs_of(self) -> str:
        """The name of the lab that its machines' MAC addresses follow from."""
        return Path(self.born).name or self.name

    def node(self, name: str) -> NodeState:
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(n.name for n in self.nodes)
        raise Missing(f"lab {self.name!r} has no node {name!r}", hint=f"its nodes: {names}")

    def with_node(self, node: NodeState) -> LabState:
        return replace(self, nodes=tuple(node if n.name == node.name else n for n in self.nodes))


@contextmanager
def lock(ws: Workspace) -> Iterator[None]:
    """Hold the right to change labs; waits up to a minute for others, then raises Busy."""
    with locked(ws.state / "lab.lock", "the lab", wait=LOCK_SECONDS):
        yield


def write(paths: LabPaths, state: LabState) -> None:
    write_atomic(paths.state, dump(state), mode=0o600)


def read(paths: LabPaths) -> LabState:
    """The record of a lab. Raises Missing (no such lab) or BadInput (half made or damaged)."""
    try:
        text = paths.state.read_text(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        if paths.folder.exists():
            raise BadInput(f"lab {paths.name!r} is half made: {paths.state} is missing", hint=_way_out(paths)) from None
        raise Missing(
            f"there is no lab {paths.name!r}", hint="`orlop lab list` shows the labs, `orlop lab up` makes one"
        ) from None
    try:
        return parse(text)
    except BadInput as e:
        raise BadInput(f"{paths.state} is damaged: {e.message}", hint=_way_out(paths)) from None


def _way_out(paths: LabPaths) -> str:
    return f"`orlop lab down --name {paths.name}` removes what is there"


def dump(state: LabState) -> str:
    return json.dumps({"schema": SCHEMA, **asdict(state)}, indent=1) + "\n"


def parse(text: str) -> LabState:
    """Raises BadInput for anything `dump` does not write."""
    raw = text.encode(errors="replace")
    return of(Fields.of("", parse_json(raw, len(raw))))


def of(top: Fields) -> LabState:
    """The record that an object holds. Raises BadInput for anything `dump` does not write."""
    if (schema := top.value("schema", int)) != SCHEMA:
        raise BadInput(f"its schema is {schema}, this orlop reads {SCHEMA}")
    acceleration = top.fields("acceleration")
    return LabState(
        name=top.value("name", str),
        image=top.value("image", str),
        version=top.value("version", str),
        created=top.value("created", int),
        acceleration=Acceleration(acceleration.value("name", str), acceleration.value("why", str)),
        run=top.value("run", str),
        nodes=tuple(_node(node) for node in top.items("nodes", sys.maxsize)),
        demo=top.value("demo", bool),
        switch=_process(top, "switch"),
        usr=top.value("usr", str, ""),
        saved=top.value("saved", str, ""),
        born=top.value("born", str, ""),
    )


def _node(node: Fields) -> NodeState:
    return NodeState(
        name=node.value("name", str),
        index=node.value("index", int),
        ssh_port=node.value("ssh_port", int),
        forwards=tuple(
            Forward(forward.value("host", int), forward.value("guest", int))
            for forward in node.items("forwards", sys.maxsize)
        ),
        cpus=node.value("cpus", int, _CPUS),
        memory_mib=node.value("memory_mib", int),
        media=node.value("media", bool),
        cut=node.value("cut", bool),
        process=_process(node, "process"),
        boots=tuple(node.numbers("boots", 0, sys.maxsize)),
        source=_source(node),
        data_disks=node.value("data_disks", int),
        kind=MachineKind(node.choice("kind", *MachineKind, default=MachineKind.VM.value)),
        conditions=_conditions(node),
    )


def _conditions(node: Fields) -> Conditions:
    if not node.has("conditions"):  # a record from before there were any
        return Conditions()
    conditions = node.fields("conditions")
    return Conditions(
        nic=Uplink(conditions.choice("nic", *Uplink)),
        is_ipv6_only=conditions.value("is_ipv6_only", bool),
        is_disk_slow=conditions.value("is_disk_slow", bool),
        sector=conditions.value("sector", int),
        is_disk_gone=conditions.value("is_disk_gone", bool),
        clock=conditions.value("clock", str),
    )


def _source(node: Fields) -> LabSource | None:
    if not node.has("source"):
        return None
    source = node.fields("source")
    return LabSource(parse_way(source.value("way", str)), source.value("url", str), source.value("port", int))


def _process(holder: Fields, key: str) -> ProcessId | None:
    if not holder.has(key):
        return None
    process = holder.fields(key)
    return ProcessId(process.value("pid", int), process.value("start", int))
