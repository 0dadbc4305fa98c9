"""What a unit asks of the machine it runs on: `[X-Fleet]`, read.

Two ways to read it. Strictly, as everybody who writes a unit today gets it: what would be ignored is refused, with its
line. Leniently, for tools of fleet's time that say so: unknown keys, metadata that cannot be read and patterns that
match nothing are dropped, as fleet dropped them. What is contradictory is refused either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeVar

from orlop.errors import BadInput
from orlop.model.fleet import globs, quadlet, unitfile
from orlop.model.fleet.keys import OLD, FleetKey
from orlop.model.fleet.name import UnitName, split
from orlop.model.fleet.unitfile import SPACE, FleetFile, UnitOption
from orlop.model.words.line import line

T = TypeVar("T")
MOST = 1000  # replicas, and what is counted
USUAL_PRIORITY = 100
_TRUE, _FALSE = ("true", "yes", "1", "on", "t"), ("false", "no", "0", "off", "f")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
OF_MACHINES = "machine"  # the Spread= that is no metadata


@dataclass(frozen=True)
class Requirements:
    """`cpu`: thousandths of a core; `memory`: bytes; `ports`: `8080/tcp`; `metadata`: alternatives by key."""

    machine: str = ""
    peers: tuple[str, ...] = ()
    metadata: tuple[tuple[str, frozenset[str]], ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    is_global: bool = False
    replicas: int = 0
    max_per_machine: int = 0
    cpu: int = 0
    memory: int = 0
    ports: frozenset[str] = frozenset()
    resources: tuple[tuple[str, int], ...] = ()
    prefer: tuple[tuple[str, str], ...] = ()
    prefer_with: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    spread: str = ""
    priority: int = USUAL_PRIORITY
    stops_alone: bool = False

    @property
    def has_taste(self) -> bool:
        """Whether machines that may run it differ for it in more than in how much they have to do."""
        return bool(self.prefer or self.prefer_with or self.avoid or self.spread)


@lru_cache(maxsize=1 << 15)  # by every server, of every unit, again at each change of any
def of_text(unit: str, text: str, lenient: bool) -> Requirements:
    """Raises BadInput."""
    return read(split(unit), unitfile.parse(text), lenient=lenient)


def read(name: UnitName, file: FleetFile, *, lenient: bool = False) -> Requirements:
    """Raises BadInput, which names every line that is wrong."""
    reading = _Reading(name, lenient)
    if not lenient:
        reading.troubles += _misplaced(name, file)
    for option, value in file.fleet():
        reading.one(option, name.fill(value))
    made = reading.made()
    if reading.troubles:
        raise BadInput("; ".join(f"line {at}: {what}" if at else what for at, what in sorted(reading.troubles)))
    return made


def _misplaced(name: UnitName, file: FleetFile) -> Iterator[tuple[int, str]]:
    if file.stray:
        yield file.stray, "text before the first [Section] is read by nobody"
    sections = {option.section: option.line for option in reversed(file.options)}
    for section, at in sections.items():
        if section != unitfile.SECTION and section.lower().replace("_", "-") in {"x-fleet", "fleet", "xfleet"}:
            yield at, f"[{line(section, 40)}] is read by nobody: write [{unitfile.SECTION}]"
    if name.suffix in quadlet.SECTIONS and quadlet.SECTIONS[name.suffix] not in sections:
        yield 0, f"a .{name.suffix} must have a [{quadlet.SECTIONS[name.suffix]}]"


@dataclass
class _Reading:
    name: UnitName
    lenient: bool
    troubles: list[tuple[int, str]] = field(default_factory=list)
    said: dict[FleetKey, list[tuple[int, str]]] = field(default_factory=dict)
    old: dict[FleetKey, list[tuple[int, str]]] = field(default_factory=dict)

    def one(self, option: UnitOption, value: str) -> None:
        if option.name in OLD:
            self.old.setdefault(OLD[option.name], []).append((option.line, value))
        elif option.name in set(FleetKey):
            self.said.setdefault(FleetKey(option.name), []).append((option.line, value))
        elif not self.lenient:
            guess = next((key for key in FleetKey if key.lower() == option.name.lower()), "")
            meant = f": write {guess}" if guess else ""
            self.troubles.append((option.line, f"{line(option.name, 40)!r} is not a key of [X-Fleet]{meant}"))

    def made(self) -> Requirements:
        found = Requirements(
            machine=self._machine(),
            peers=tuple(value for _, value in self._all(FleetKey.MACHINE_OF)),
            metadata=self._metadata(),
            conflicts=self._patterns(FleetKey.CONFLICTS),
            replaces=self._patterns(FleetKey.REPLACES),
            is_global=self._is_global(),
        )
        if not self.lenient:
            for at, value in self._all(FleetKey.MACHINE_OF):
                if not value or " " in value:
                    self._wrong(at, f"MachineOf={line(value, 60)} is not one unit; put each of several in quotes")
        found = self._new(found)
        self.troubles += ((0, what) for what in self._contradictions(found))
        return found

    def _new(self, found: Requirements) -> Requirements:
        """What fleet did not have."""
        pairs = [(at, word) for at, value in self._all(FleetKey.PREFER) for word in value.split()]
        return replace(
            found,
            replicas=self._last(FleetKey.REPLICAS, _count, 0),
            max_per_machine=self._last(FleetKey.MAX_PER_MACHINE, _count, 0),
            cpu=self._last(FleetKey.CPU, _cores, 0),
            memory=self._last(FleetKey.MEMORY, _bytes, 0),
            ports=frozenset(self._words(FleetKey.PORTS, _port)),
            resources=tuple(sorted(dict(self._words(FleetKey.RESOURCES, _resource)).items())),
            prefer=tuple(pair for at, word in pairs if (pair := self._pair(at, word, FleetKey.PREFER))),
            prefer_with=self._patterns(FleetKey.PREFER_WITH),
            avoid=self._patterns(FleetKey.AVOID),
            spread=self._last(FleetKey.SPREAD, _key, ""),
            priority=self._last(FleetKey.PRIORITY, _priority, USUAL_PRIORITY),
            stops_alone=self._last(FleetKey.PARTITION, _partition, False),
        )

    def _all(self, key: FleetKey) -> list[tuple[int, str]]:
        """In fleet's order: old names first, but for MachineID, of which the present name's first value counts."""
        return [*self.old.get(key, []), *self.said.get(key, [])]

    def _machine(self) -> str:
        values = [*self.said.get(FleetKey.MACHINE_ID, []), *self.old.get(FleetKey.MACHINE_ID, [])]
        if not values:
            return ""
        at, value = values[0]
        if not self.lenient and not re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{32}", value):
            self._wrong(at, f"MachineID={line(value, 40)} must be 32 hexadecimal digits, or the first 8 of them")
        return value or "?"  # what cannot be any machine's: fleet placed such a unit nowhere

    def _metadata(self) -> tuple[tuple[str, frozenset[str]], ...]:
        alternatives: dict[str, set[str]] = {}
        for at, value in self._all(FleetKey.METADATA):
            pair = self._pair(at, value, FleetKey.METADATA)
            if pair:
                alternatives.setdefault(pair[0], set()).add(pair[1])
        return tuple((key, frozenset(values)) for key, values in alternatives.items())

    def _pair(self, at: int, value: str, key: FleetKey) -> tuple[str, str] | None:
        parts = value.split("=")
        if len(parts) == 2 and all(parts) and (self.lenient or not re.search(r"\s", value)):
            return parts[0], parts[1]
        if not self.lenient:
            self._wrong(at, f'{key}={line(value, 60)} is not one KEY=VALUE; of several write {key}="a=1" "b=2"')
        return None

    def _patterns(self, key: FleetKey) -> tuple[str, ...]:
        found = []
        for at, value in self._all(key):
            for word in filter(None, re.split(f"[{SPACE}]+", value)):
                try:
                    globs.compiled(word)
                    found.append(word)
                except BadInput as e:
                    if not self.lenient:
                        self._wrong(at, f"{key}: {e.message}")
        return tuple(found)

    def _is_global(self) -> bool:
        values = self._all(FleetKey.GLOBAL)
        for at, value in values if not self.lenient else ():
            if value.lower() not in (*_TRUE, *_FALSE):
                self._wrong(at, f"Global={line(value, 40)} must be true or false")
        return bool(values) and values[-1][1].lower() in _TRUE

    def _last(self, key: FleetKey, reads: Callable[[str], T], usual: T) -> T:
        for at, value in self.said.get(key, [])[-1:]:
            try:
                return reads(value)
            except BadInput as e:
                self._wrong(at, f"{key}={line(value, 40)} {e.message}")
        return usual

    def _words(self, key: FleetKey, reads: Callable[[str], T]) -> Iterator[T]:
        for at, value in self.said.get(key, []):
            for word in value.split():
                try:
                    yield reads(word)
                except BadInput as e:
                    self._wrong(at, f"{key}={line(word, 40)} {e.message}")

    def _wrong(self, at: int, what: str) -> None:
        self.troubles.append((at, what))

    def _contradictions(self, found: Requirements) -> Iterator[str]:
        """What can hold on no machine."""
        beside = (
            ("MachineID", found.machine, "MachineOf", found.peers),
            ("MachineID", found.machine, "Conflicts", found.conflicts),
            ("MachineID", found.machine, "Replaces", found.replaces),
            ("MachineID", found.machine, "Global", found.is_global),
            ("Global", found.is_global, "MachineOf", found.peers),
            ("Global", found.is_global, "Replaces", found.replaces),
            ("Global", found.is_global, "Replicas", found.replicas),
            ("Conflicts", found.conflicts, "Replaces", found.replaces),
        )
        yield from (f"{one} cannot be used with {other}" for one, has, other, too in beside if has and too)
        for key, patterns in (("Conflicts", found.conflicts), ("Replaces", found.replaces)):
            for peer in found.peers:
                for pattern in patterns:
                    if globs.matches(pattern, peer):
                        yield f"MachineOf={line(peer, 60)} is matched by its own {key}={line(pattern, 60)}"
        if found.replicas and not self.name.template:
            yield f"Replicas is for templates: call it {self.name.prefix}@.{self.name.suffix}"


def _count(text: str) -> int:
    return _whole(text, 1, MOST)


def _priority(text: str) -> int:
    return _whole(text, 0, MOST)


def _whole(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) or not least <= int(text) <= most:
        raise BadInput(f"must be a whole number from {least} to {most}")
    return int(text)


def _cores(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})m|([0-9]{1,4}(?:\.[0-9]{1,3})?)", text, re.ASCII)
    cores = 0 if found is None else int(found[1]) if found[1] else round(float(found[2]) * 1000)
    if not cores:
        raise BadInput("must be cores, such as 2, 0.5 or 250m")
    return cores


def _bytes(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,11})([KMGT]?)", text, re.ASCII)
    if found is None:
        raise BadInput("must be bytes, such as 64M or 2G")
    return int(found[1]) * _UNITS[found[2]]


def _port(text: str) -> str:
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:/(tcp|udp))?", text, re.ASCII)
    if found is None or int(found[1]) > 65535:
        raise BadInput("must be a port from 1 to 65535, with /udp when it is not /tcp")
    return f"{found[1]}/{found[2] or 'tcp'}"


def _resource(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"([a-z][a-z0-9._/-]{0,62})=([1-9][0-9]{0,5})", text, re.ASCII)
    if found is None:
        raise BadInput("must be NAME=COUNT, such as gpu=1")
    return found[1], int(found[2])


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", text, re.ASCII):
        raise BadInput(f"must be a key of metadata, or {OF_MACHINES}")
    return text


def _partition(text: str) -> bool:
    if text not in {"keep", "stop"}:
        raise BadInput("must be keep or stop")
    return text == "stop"
