"""Units that a config wrote, changed or switched, and what became of each.

The states are those of `systemctl is-enabled`, read from the links it made: `enabled`, `disabled`, `masked`, `static`
(it has no [Install] section), `indirect` (a template of which an instance is enabled), `generated` for a unit that is
made of a Quadlet file at boot and that nothing starts then (one that is started is `enabled` here), and `missing` for
one that is to be enabled and is nowhere.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from orlop.simulate.changes import ChangeKind, RootChange
from orlop.simulate.snapshot import PathKind, RootEntry, Snapshot, file_text
from orlop.simulate.unitfiles import UnitFiles, template

SYSTEM = "/etc/systemd/system/"
QUADLETS = "/etc/containers/systemd/"
PRESET = "/etc/systemd/system-preset/20-ignition.preset"
GENERATED = "/run/systemd/generator/"
_SOURCE = re.compile(rf"^SourcePath={QUADLETS}(.*)$", re.MULTILINE)
_INSTALL = re.compile(r"^\[Install\]\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """`origin`: "config" or "image"; `dropins`: names of the config's; `links`: what makes it start, paths;
    `made_from`: the Quadlet file, below QUADLETS.
    """

    name: str
    state: str
    origin: str
    dropins: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    made_from: str = ""


def units(files: Snapshot, changed: Iterable[RootChange], missing: Collection[str] = ()) -> list[Unit]:
    """Every unit that the changes are about, and every one that is made at boot, sorted by name. `files`: all of the
    machine's; `missing`: the units that are to be enabled and nowhere.
    """
    names: set[str] = set()
    dropins: dict[str, set[str]] = {}
    for change in changed:
        path, gone = change.path, change.how is ChangeKind.REMOVED
        if not path.startswith(SYSTEM) or change.entry.kind is PathKind.FOLDER:
            continue
        folder, _, name = path[len(SYSTEM) :].rpartition("/")
        if folder.endswith(".d"):
            if not gone:
                dropins.setdefault(folder[:-2], set()).add(name)
        elif folder.endswith((".wants", ".requires", ".upholds")) or (
            not folder and (change.entry.kind is PathKind.FILE or change.entry.target == "/dev/null")
        ):
            names.add(name)
    there = UnitFiles(files)
    # a machine says nothing of a unit that is to be disabled and is nowhere
    names |= set(dropins) | {name for verb, name in preset(files) if verb == "enable" or there.has(name)}
    names |= {path.removeprefix(GENERATED) for path in files if path.startswith(GENERATED) and _source(files, path)}
    found = [_unit(files, name, tuple(sorted(dropins.get(name, ())))) for name in names]
    found = [replace(u, state="missing") if u.name in missing and not u.made_from else u for u in found]
    return sorted(found, key=lambda unit: unit.name)


def preset(files: Snapshot) -> Iterable[tuple[str, str]]:
    """("enable" or "disable", unit) of the preset file that Ignition writes."""
    for line in file_text(files, PRESET).splitlines():
        verb, _, rest = line.partition(" ")
        name, *instances = rest.split() or [""]
        if verb in ("enable", "disable") and name:
            for unit in [name.replace("@.", f"@{instance}.") for instance in instances] or [name]:
                yield verb, unit


def _source(files: Snapshot, path: str) -> str:
    found = _SOURCE.search(file_text(files, path))
    return found[1].strip() if found else ""


def _unit(files: Snapshot, name: str, dropins: tuple[str, ...]) -> Unit:
    called = template(name)
    file = files.get(SYSTEM + name) or files.get(SYSTEM + called)
    links = tuple(path for path, entry in files.items() if _enables(path, entry, name))
    if file and file.kind is PathKind.LINK and file.target == "/dev/null":
        return Unit(name, "masked", "config", dropins)
    if file is None and (source := _source(files, GENERATED + name)):
        return Unit(name, "enabled" if links else "generated", "config", dropins, links, source)
    origin = "config" if file and file.kind is PathKind.FILE else "image"
    if links:
        state = "enabled"
    elif "@." in name and any(_is_of(path, entry, name) for path, entry in files.items()):
        state = "indirect"
    else:
        text = (file.text or "") if file else ""
        static = origin == "config" and not _INSTALL.search(text)
        state = "static" if static else "disabled"
    return Unit(name, state, origin, dropins, links)


def _is_of(path: str, entry: RootEntry, name: str) -> bool:
    """Whether the link enables an instance of the template `name`."""
    own = posixpath.basename(path)
    return "@" in own and template(own) == name and _enables(path, entry, own)


def _enables(path: str, entry: RootEntry, name: str) -> bool:
    top = next((top for top in (SYSTEM, GENERATED) if path.startswith(top)), "")
    if not top or entry.kind is not PathKind.LINK:
        return False
    folder, own = posixpath.split(path[len(top) :])
    return own == name if folder else posixpath.basename(entry.target) == name and own != name
