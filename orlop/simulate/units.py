"""Units that a config wrote, changed or switched, and what became of each.

The states are those of `systemctl is-enabled`, read from the links it made: `enabled`, `disabled`, `masked`, `static`
(it has no [Install] section), `generated` for a Quadlet file, of which podman
makes the unit at boot, and `missing` for one that is to be enabled and is nowhere.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from orlop.simulate.changes import Change, How
from orlop.simulate.snapshot import Entry, Kind, Snapshot, file_text

SYSTEM = "/etc/systemd/system/"
QUADLETS = "/etc/containers/systemd/"
PRESET = "/etc/systemd/system-preset/20-ignition.preset"
_QUADLET = {"container": "", "kube": "", "pod": "-pod", "volume": "-volume", "network": "-network", "image": "-image"}
_QUADLET["build"] = "-build"
_WANTED = re.compile(r"^\s*(WantedBy|RequiredBy|UpheldBy)\s*=\s*\S", re.MULTILINE)
_INSTALL = re.compile(r"^\[Install\]\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """`origin`: "config" or "image"; `dropins`: names of the config's; `links`: what makes it start, paths."""

    name: str
    state: str
    origin: str
    dropins: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    made_from: str = ""


def units(root: Snapshot, changed: Iterable[Change], missing: Collection[str] = ()) -> list[Unit]:
    """Every unit that the changes are about, sorted by name. `missing`: those that are to be enabled and nowhere."""
    names: set[str] = set()
    dropins: dict[str, set[str]] = {}
    quadlets: list[Entry] = []
    for change in changed:
        path, gone = change.path, change.how is How.REMOVED
        if path.startswith(QUADLETS) and change.entry.kind is not Kind.FOLDER and not gone:
            quadlets.append(change.entry)
        if not path.startswith(SYSTEM) or change.entry.kind is Kind.FOLDER:
            continue
        folder, _, name = path[len(SYSTEM) :].rpartition("/")
        if folder.endswith(".d"):
            if not gone:
                dropins.setdefault(folder[:-2], set()).add(name)
        elif folder.endswith((".wants", ".requires", ".upholds")) or (
            not folder and (change.entry.kind is Kind.FILE or change.entry.target == "/dev/null")
        ):
            names.add(name)
    names |= set(dropins) | set(_preset(file_text(root, PRESET)))
    found = [_unit(root, name, tuple(sorted(dropins.get(name, ())))) for name in names]
    found = [replace(unit, state="missing") if unit.name in missing else unit for unit in found]
    return sorted([*found, *_quadlets(quadlets)], key=lambda unit: unit.name)


def _preset(text: str) -> Iterable[str]:
    """The units named by the preset file that Ignition writes."""
    for line in text.splitlines():
        verb, _, rest = line.partition(" ")
        name, *instances = rest.split() or [""]
        if verb in ("enable", "disable") and name:
            yield from [name.replace("@.", f"@{instance}.") for instance in instances] or [name]


def _unit(root: Snapshot, name: str, dropins: tuple[str, ...]) -> Unit:
    template = re.sub(r"@[^.]*\.", "@.", name)
    file = root.get(SYSTEM + name) or root.get(SYSTEM + template)
    links = tuple(path for path, entry in root.items() if _enables(path, entry, name))
    if file and file.kind is Kind.LINK and file.target == "/dev/null":
        return Unit(name, "masked", "config", dropins)
    origin = "config" if file and file.kind is Kind.FILE else "image"
    if links:
        state = "enabled"
    else:
        text = (file.text or "") if file else ""
        static = origin == "config" and not _INSTALL.search(text)
        state = "static" if static else "disabled"
    return Unit(name, state, origin, dropins, links)


def _enables(path: str, entry: Entry, name: str) -> bool:
    if not path.startswith(SYSTEM) or entry.kind is not Kind.LINK:
        return False
    folder, own = posixpath.split(path[len(SYSTEM) :])
    return own == name if folder else posixpath.basename(entry.target) == name and own != name


def _quadlets(files: Iterable[Entry]) -> Iterable[Unit]:
    for entry in files:
        file = posixpath.basename(entry.path)
        stem, _, suffix = file.rpartition(".")
        if suffix not in _QUADLET or posixpath.dirname(entry.path) + "/" != QUADLETS:
            continue
        wanted = bool(_WANTED.search(entry.text or ""))
        name = f"{stem}{_QUADLET[suffix]}.service"
        yield Unit(name, "enabled" if wanted else "generated", "config", made_from=file)
