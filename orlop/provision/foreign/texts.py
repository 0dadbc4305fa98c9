"""What a config has: the text of each file, and the units it is about. Made once a translation, and only read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orlop.provision.rules.quadlets import content
from orlop.provision.source import Place
from orlop.provision.tree import Obj

UNITS = "/etc/systemd/system/"
_LINE = re.compile(r"^[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_CONTINUED = re.compile(r"\\\n[ \t]*")


@dataclass(frozen=True)
class Text:
    """A file of the config. `text` is None when it is elsewhere, or cannot be read."""

    path: str
    text: str | None
    file: Obj

    @property
    def place(self) -> Place:
        return self.file.place


@dataclass(frozen=True)
class UnitText:
    """A unit, a drop-in or a Quadlet file; `name` is the unit's, or the Quadlet file's."""

    name: str
    text: str
    place: Place

    def values(self, *keys: str) -> list[str]:
        """What the keys are set to, in order, whatever the section."""
        return [value for name, value in _LINE.findall(_CONTINUED.sub(" ", self.text)) if name in keys]

    def words(self, *keys: str) -> list[str]:
        return [word for value in self.values(*keys) for word in value.split()]


@dataclass(frozen=True)
class Configured:
    """`paths`: of all files, folders, links and mounted file systems. `own`: units that the config itself writes."""

    root: Obj
    files: tuple[Text, ...]
    paths: frozenset[str]
    texts: tuple[UnitText, ...]
    own: frozenset[str]
    enabled: frozenset[str]
    stopped: dict[str, Place] = field(default_factory=dict)

    def matching(self, *pattern: re.Pattern[str]) -> Iterator[Text]:
        return (file for file in self.files if any(p.fullmatch(file.path) for p in pattern))

    def has_below(self, path: str) -> bool:
        """Whether the config puts something at the path or below it."""
        return any(other == path or other.startswith(path + "/") for other in self.paths)


def configured(root: Obj) -> Configured:
    storage, units = root.obj("storage"), root.obj("systemd").objs("units")
    files = tuple(_files(storage))
    nodes = [*storage.objs("files"), *storage.objs("links"), *storage.objs("filesystems")]
    texts = [*_unit_texts(units), *_texts_of_files(files)]
    at_files = {f.path.removeprefix(UNITS) for f in files if f.path.startswith(UNITS)}
    own = {unit.text("name") or "" for unit in units if unit.text("contents")} | {n for n in at_files if "/" not in n}
    links = [link.text("path") or "" for link in storage.objs("links")]
    wanted = {path.rpartition("/")[2] for path in links if path.startswith(UNITS) and ".wants/" in path}
    enabled = {unit.text("name") or "" for unit in units if unit.flag("enabled")}
    stopped = {
        unit.text("name") or "": unit.place for unit in units if unit.flag("mask") or unit.flag("enabled") is False
    }
    paths = frozenset(node.text("path") or "" for node in nodes)
    return Configured(root, files, paths, tuple(texts), frozenset(own), frozenset(enabled | wanted), stopped)


def _files(storage: Obj) -> Iterator[Text]:
    for file in storage.objs("files"):
        resources = [file.obj("contents"), *file.objs("append")]
        parts = [content(r) if r.text("source") is not None else "" for r in resources]
        whole = None if None in parts else "".join(part or "" for part in parts)
        yield Text(file.text("path") or "", whole, file)


def _unit_texts(units: Iterable[Obj]) -> Iterator[UnitText]:
    for unit in units:
        for part in (unit, *unit.objs("dropins")):
            if text := part.text("contents"):
                yield UnitText(unit.text("name") or "", text, part.at("contents"))


def _texts_of_files(files: Iterable[Text]) -> Iterator[UnitText]:
    for file in files:
        name = file.path.rpartition("/")[2]
        if file.path.startswith(("/etc/containers/systemd/", UNITS)) and file.text is not None:
            folder = file.path.rpartition("/")[0].rpartition("/")[2]
            yield UnitText(folder[:-2] if folder.endswith(".d") else name, file.text, file.place)
