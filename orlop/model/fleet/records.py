"""What the store has of units: what people want, what machines offer, what was decided, what was seen.

    units/UNIT             UnitRecord      what is wanted; by people
    work/MACHINE/INSTANCE  UnitWork        what a machine is to run; by the scheduler that leads
    offers/MACHINE         MachineOffer    what a machine has to give; by its agent
    seen/MACHINE           SeenUnits       how its units are; by its agent
    presence/MACHINE       …               which server its agent is connected to, with that server's lease
    lost/MACHINE           …               why its units went elsewhere; by the scheduler that leads
    drains/MACHINE         …               why its units are to go elsewhere; by people

An *epoch* says which of two assignments of an instance is the newer one: it is a revision of the store, so it only
grows. Whoever acts or reports under an old one is not heard. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from orlop.errors import BadInput
from orlop.model.fleet import name as unit_name
from orlop.model.fleet import requirements, unitfile
from orlop.model.fleet.able import UnitInstance
from orlop.model.words.record import record_fields, record_text
from orlop.model.words.strict import Fields, parse_json

SCHEMA = 1
LARGEST = 1 << 18  # bytes of any of them
MOST_METADATA = 64
_KEY, _VALUE = 63, 253  # characters of metadata
_MOST_COUNT = 1 << 62
_WORDS = 100  # characters of a state's word
_REASON = 300


class TargetState(StrEnum):
    """What people want: not placed; placed and not started; placed and started. fleet's words."""

    INACTIVE = "inactive"
    LOADED = "loaded"
    LAUNCHED = "launched"


@dataclass(frozen=True)
class UnitRecord:
    """`text` as it was given. `lenient`: by a tool of fleet's time. `restarts` grows with each wish to restart."""

    name: str
    text: str
    target: TargetState = TargetState.INACTIVE
    lenient: bool = False
    restarts: int = 0

    @property
    def hash(self) -> str:
        return hash_of(self.text)

    @property
    def needs(self) -> requirements.Requirements:
        return requirements.of_text(self.name, self.text, self.lenient)

    def aim(self, target: TargetState) -> UnitRecord:
        """Raises BadInput for a template that no instance can be made of."""
        parts = unit_name.split(self.name)
        if parts.is_template and target is not TargetState.INACTIVE and not self.needs.replicas:
            hint = f"start an instance, such as {parts.of('1')}, or write Replicas= into [X-Fleet]"
            raise BadInput(f"{self.name} is a template: it cannot be {target} itself", hint=hint)
        return replace(self, target=target)

    def as_if_wanted(self) -> UnitRecord:
        """The same, placed: for who asks where it could be."""
        return self if self.target is not TargetState.INACTIVE else replace(self, target=TargetState.LOADED)

    def instances(self) -> Iterator[UnitInstance]:
        """What is to be placed for it."""
        if self.target is TargetState.INACTIVE:
            return
        parts = unit_name.split(self.name)
        if not parts.is_template:
            yield UnitInstance(self.name, self.name, self.needs, parts.template)
            return
        for number in range(1, self.needs.replicas + 1):
            instance = parts.of(str(number))
            needs = requirements.of_text(instance, self.text, self.lenient)
            yield UnitInstance(instance, self.name, needs, self.name)

    def encoded(self) -> bytes:
        return record_text({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def decode(cls, raw: bytes) -> UnitRecord:
        """Raises BadInput."""
        f = record_fields("the record of a unit", raw, schema=SCHEMA, most=LARGEST)
        f.only("schema", "name", "text", "target", "lenient", "restarts")
        target = TargetState(f.choice("target", *TargetState))
        return cls(f.line("name", 256), text_of(f), target, f.value("lenient", bool),
                   f.number("restarts", 0, _MOST_COUNT))  # fmt: skip


def text_of(f: Fields) -> str:
    """The field `text`, in which tabs and line ends of Windows may be. Raises BadInput."""
    text = f.value("text", str)
    if len(text) > unitfile.LARGEST or any(not (c.isprintable() or c in "\n\t\r") for c in text):
        raise BadInput(f"text must have at most {unitfile.LARGEST} characters, none of which is a control character")
    return text


@dataclass(frozen=True)
class UnitWork:
    """`unit`: whose text it has; `hash`: of that text; `why`: it is placed there."""

    unit: str
    hash: str
    target: TargetState
    epoch: int
    restarts: int = 0
    why: str = ""

    def encoded(self) -> bytes:
        return record_text(asdict(self))

    @classmethod
    def decode(cls, raw: bytes) -> UnitWork:
        """Raises BadInput."""
        f = Fields.of("the work of a machine", parse_json(raw, LARGEST))
        f.only("unit", "hash", "target", "epoch", "restarts", "why")
        return cls(f.line("unit", 256), f.line("hash", 40), TargetState(f.choice("target", *TargetState)),
                   f.number("epoch", 0, _MOST_COUNT), f.number("restarts", 0, _MOST_COUNT),
                   f.line("why", 2000, empty=True))  # fmt: skip


@dataclass(frozen=True)
class MachineOffer:
    """`cpu`: thousandths of a core that units may have; `memory`: bytes."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    cpu: int = 0
    memory: int = 0
    resources: Mapping[str, int] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return record_text({"schema": SCHEMA, **asdict(self)})

    @classmethod
    def decode(cls, raw: bytes) -> MachineOffer:
        """Raises BadInput."""
        f = record_fields("the offer of a machine", raw, schema=SCHEMA, most=LARGEST)
        f.only("schema", "metadata", "cpu", "memory", "resources")
        metadata = Fields.of("metadata", f.value("metadata", dict))
        resources = Fields.of("resources", f.value("resources", dict))
        if len(metadata.values) > MOST_METADATA or len(resources.values) > MOST_METADATA:
            raise BadInput(f"a machine has at most {MOST_METADATA} of metadata and of resources")
        if any(not 0 < len(key) <= _KEY for key in (*metadata.values, *resources.values)):
            raise BadInput(f"a key of metadata or resources must have 1 to {_KEY} characters")
        return cls(
            {key: metadata.line(key, _VALUE) for key in metadata.values},
            f.number("cpu", 0, _MOST_COUNT), f.number("memory", 0, _MOST_COUNT),
            {key: resources.number(key, 0, _MOST_COUNT) for key in resources.values},
        )  # fmt: skip


@dataclass(frozen=True)
class SeenUnit:
    """How systemd has it, in systemd's words, under which epoch, with which text, after how many wishes to restart it,
    and as what its machine has done it: `target`. `why`: what went wrong, if so.
    """

    load: str
    active: str
    sub: str
    hash: str
    epoch: int
    why: str = ""
    restarts: int = 0
    target: TargetState = TargetState.LOADED


@dataclass(frozen=True)
class SeenUnits:
    """By instance."""

    units: Mapping[str, SeenUnit]

    def encoded(self) -> bytes:
        return record_text({"schema": SCHEMA, "units": {name: asdict(unit) for name, unit in self.units.items()}})

    @classmethod
    def decode(cls, raw: bytes) -> SeenUnits:
        """Raises BadInput."""
        f = record_fields("what a machine sees of its units", raw, schema=SCHEMA, most=LARGEST)
        f.only("schema", "units")
        units = Fields.of("units", f.value("units", dict))
        return cls({name: _seen(Fields.of(name, value)) for name, value in units.values.items()})


def _seen(f: Fields) -> SeenUnit:
    f.only("load", "active", "sub", "hash", "epoch", "why", "restarts", "target")
    load, active, sub = (f.line(key, _WORDS) for key in ("load", "active", "sub"))
    digest, epoch = f.line("hash", 40, empty=True), f.number("epoch", 0, _MOST_COUNT)
    why, restarts = f.line("why", _REASON, empty=True), f.number("restarts", 0, _MOST_COUNT)
    target = TargetState(f.choice("target", *TargetState))
    return SeenUnit(load, active, sub, digest, epoch, why, restarts, target)


@lru_cache(maxsize=1 << 14)
def hash_of(text: str) -> str:
    """Of a unit's text, as fleet has it. Raises BadInput."""
    return unitfile.parse(text).hash


@lru_cache(maxsize=1 << 14)
def description_of(text: str) -> str:
    """What a unit's text says of itself. Raises BadInput."""
    return unitfile.parse(text).description
