"""lab.json: which machines a lab has, how they were made and which processes they are.

Lifetime: written first when a lab is made, whole at every change (`orlop.files.write_atomic`) and always under the lock
`.orlop/lab.lock`; gone with the lab's folder. What is read is checked here once; inside travel frozen values. A record
that is missing or garbage is an error that names the way out: `orlop lab down` needs no record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from orlop.errors import BadInput, Busy, Missing
from orlop.files import locked, write_atomic
from orlop.lab.paths import Paths
from orlop.lab.pids import ProcessId
from orlop.lab.ports import Forward
from orlop.lab.source import Source, parse_way
from orlop.workspace import Workspace

SCHEMA = 1
LOCK_SECONDS = 60.0
_CPUS = 2  # of every machine, when records did not say it
T = TypeVar("T")


@dataclass(frozen=True)
class Acceleration:
    """`name` is kvm or tcg; `why` says it to a person."""

    name: str
    why: str


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
    source: Source | None = None
    data_disks: int = 0

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.ssh_port, *(f.host for f in self.forwards))


@dataclass(frozen=True)
class LabState:
    """`image` is the disk the nodes' own disks are layered over, `created` seconds since 1970."""

    name: str
    image: str
    version: str
    created: int
    acceleration: Acceleration
    run: str
    nodes: tuple[NodeState, ...]
    demo: bool = False
    switch: ProcessId | None = None

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
    until = time.monotonic() + LOCK_SECONDS
    while True:
        held = locked(ws.state / "lab.lock", "the lab")
        try:
            held.__enter__()
            break
        except Busy:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def write(paths: Paths, state: LabState) -> None:
    write_atomic(paths.state, dump(state), mode=0o600)


def read(paths: Paths) -> LabState:
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


def _way_out(paths: Paths) -> str:
    return f"`orlop lab down --name {paths.name}` removes what is there"


def dump(state: LabState) -> str:
    return json.dumps({"schema": SCHEMA, **asdict(state)}, indent=1) + "\n"


def parse(text: str) -> LabState:
    """Raises BadInput for anything `dump` does not write."""
    try:
        raw: object = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("it is no JSON") from None
    top = _table(raw, "the top")
    if _get(top, "schema", int) != SCHEMA:
        raise BadInput(f"its schema is {top['schema']}, this orlop reads {SCHEMA}")
    how = _table(top.get("acceleration"), "acceleration")
    return LabState(
        name=_get(top, "name", str),
        image=_get(top, "image", str),
        version=_get(top, "version", str),
        created=_get(top, "created", int),
        acceleration=Acceleration(_get(how, "name", str), _get(how, "why", str)),
        run=_get(top, "run", str),
        nodes=tuple(_node(n) for n in _get(top, "nodes", list)),
        demo=_get(top, "demo", bool),
        switch=_process(top.get("switch")),
    )


def _node(raw: object) -> NodeState:
    table = _table(raw, "a node")
    pairs = (_table(f, "a forward") for f in _get(table, "forwards", list))
    return NodeState(
        name=_get(table, "name", str),
        index=_get(table, "index", int),
        ssh_port=_get(table, "ssh_port", int),
        forwards=tuple(Forward(_get(f, "host", int), _get(f, "guest", int)) for f in pairs),
        cpus=_get({"cpus": _CPUS} | table, "cpus", int),
        memory_mib=_get(table, "memory_mib", int),
        media=_get(table, "media", bool),
        cut=_get(table, "cut", bool),
        process=_process(table.get("process")),
        boots=tuple(_is(b, int, "boots") for b in _get(table, "boots", list)),
        source=_source(table.get("source")),
        data_disks=_get(table, "data_disks", int),
    )


def _source(raw: object) -> Source | None:
    if raw is None:
        return None
    table = _table(raw, "a source")
    return Source(parse_way(_get(table, "way", str)), _get(table, "url", str), _get(table, "port", int))


def _process(raw: object) -> ProcessId | None:
    if raw is None:
        return None
    table = _table(raw, "a process")
    return ProcessId(_get(table, "pid", int), _get(table, "start", int))


def _table(raw: object, what: str) -> dict[str, object]:
    if not isinstance(raw, dict):
        raise BadInput(f"{what} is no table")
    return raw


def _get(table: dict[str, object], key: str, kind: type[T]) -> T:
    return _is(table.get(key), kind, key)


def _is(value: object, kind: type[T], what: str) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadInput(f"{what} is {value!r}, not of type {kind.__name__}")
    return value
