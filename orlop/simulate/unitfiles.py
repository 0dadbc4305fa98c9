"""Unit files as systemd reads them: which there are, what they and their drop-ins set, who wants whom.

Only what a simulation asks for: names, values as text, folders of links. Whether systemd takes a value is said by
systemd itself (`verified`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from orlop.simulate.snapshot import PathKind, RootEntry, Snapshot, find

# those that come first win
FOLDERS = ("/etc/systemd/system/", "/run/systemd/generator/", "/usr/lib/systemd/system/")
_WANTS = (".wants", ".requires", ".upholds")
_SETTING = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s*=\s*(.*)")


@dataclass(frozen=True)
class UnitSetting:
    section: str
    key: str
    value: str


def parse(text: str) -> Iterator[UnitSetting]:
    """The settings of a unit file, in order. Source: systemd.syntax(7)."""
    section, begun = "", ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not begun):
            continue
        line = begun + line
        begun = line[:-1] + " " if line.endswith("\\") else ""
        if begun:
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif found := _SETTING.fullmatch(line):
            yield UnitSetting(section, found[1], found[2].strip())


def template(name: str) -> str:
    """`a@.service` of `a@b.service`; a name that is of no instance stays."""
    return re.sub(r"@.*(?=\.[^.]*$)", "@", name)


@dataclass(frozen=True)
class UnitFiles:
    """`files`: the whole of a machine's files, with those that generators make."""

    files: Snapshot

    def place(self, name: str) -> RootEntry | None:
        """The entry of a unit, or of its template, in the first folder that has one; a link, if it is one."""
        for folder in FOLDERS:
            for called in (name, template(name)):
                if entry := self.files.get(folder + called):
                    return entry
        return None

    def has(self, name: str) -> bool:
        return self.place(name) is not None

    def named(self, name: str) -> str:
        """The name that systemd knows a unit by: of an alias, what it is a link to."""
        entry = self.place(name)
        if entry is None or entry.kind is not PathKind.LINK or entry.target == "/dev/null":
            return name
        there = find(self.files, entry.path)
        own = posixpath.basename(there.path) if there else name
        return name if own == template(name) else own

    def settings(self, name: str) -> list[UnitSetting]:
        """What the unit and its drop-ins set, in the order in which systemd reads it."""
        place = self.place(name)
        main = find(self.files, place.path) if place else None
        texts = [(main.text or "") if main else ""]
        texts += [entry.text or "" for _, entry in sorted(self._dropins(name).items())]
        return [setting for text in texts for setting in parse(text)]

    def values(self, name: str, *keys: str) -> list[str]:
        """All values of the keys; an empty one takes back what was said before."""
        found: dict[str, list[str]] = {key: [] for key in keys}
        for setting in self.settings(name):
            if setting.key in found:
                found[setting.key] = [*found[setting.key], setting.value] if setting.value else []
        return [value for key in keys for value in found[key]]

    def words(self, name: str, *keys: str) -> list[str]:
        """The values as lists of words."""
        return [word for value in self.values(name, *keys) for word in value.split()]

    def wanted_by(self, name: str) -> list[str]:
        """What folders of links make the unit `name` start with it."""
        return self._links.get(name, [])

    def reached(self, *starts: str) -> set[str]:
        """Every unit that is started when these are."""
        found: set[str] = set()
        todo = list(starts)
        while todo:
            name = self.named(todo.pop())
            if name not in found:
                found.add(name)
                todo += self.words(name, "Wants", "Requires", "BindsTo", "Upholds")
                todo += self.wanted_by(name)
        return found

    def _dropins(self, name: str) -> dict[str, RootEntry]:
        """By file name: one in /etc takes the place of one of the image with the same name."""
        found: dict[str, RootEntry] = {}
        for folder in reversed(FOLDERS):
            for called in dict.fromkeys((template(name), name)):
                found |= self._folders.get(f"{folder}{called}.d", {})
        return found

    @cached_property
    def _folders(self) -> dict[str, dict[str, RootEntry]]:
        """Folder of drop-ins → file name → entry."""
        found: dict[str, dict[str, RootEntry]] = {}
        for path, entry in self.files.items():
            if path.startswith(FOLDERS) and path.endswith(".conf"):
                folder, name = posixpath.split(path)
                found.setdefault(folder, {})[name] = entry
        return found

    @cached_property
    def _links(self) -> dict[str, list[str]]:
        """Unit → names of the links in its folders."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            if path.startswith(FOLDERS):
                folder, name = posixpath.split(path)
                by, kind = posixpath.splitext(posixpath.basename(folder))
                if kind in _WANTS:
                    found.setdefault(by, []).append(name)
        return found
