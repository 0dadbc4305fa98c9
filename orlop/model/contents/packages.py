"""What changed between two images: packages added, removed, and with another version. Pure.

A change that only raises the `+debNuM` or `~debNuM` of a version is an update of Debian's stable release, and those are
made to mend security holes and grave faults: it is marked, because that is why a release is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orlop.model.contents.contents import ImageContents

# how a package is called beside others
_LABELS = {"deb": "", "pypi": " (PyPI)"}
_STABLE = re.compile(r"[+~]deb\d+u\d+$")


@dataclass(frozen=True)
class PackageChange:
    """`old` is empty for a new package, `new` for one that is gone; `security`: an update of Debian stable."""

    name: str
    old: str
    new: str

    @property
    def security(self) -> bool:
        match = _STABLE.search(self.new)
        return bool(self.old and match and self.old != self.new and _base(self.old) == _base(self.new))

    def said(self) -> str:
        if not self.old:
            return f"{self.name} {self.new} is new"
        if not self.new:
            return f"{self.name} {self.old} is gone"
        return f"{self.name} {self.old} → {self.new}" + (" (stable update)" if self.security else "")


def _base(version: str) -> str:
    return _STABLE.sub("", version)


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> list[PackageChange]:
    """Each package that differs, by name; the arguments are name → version."""
    names = sorted(old.keys() | new.keys())
    changes = (PackageChange(name, old.get(name, ""), new.get(name, "")) for name in names)
    return [change for change in changes if change.old != change.new]


def notes(changes: Sequence[PackageChange], most: int) -> str:
    """The changes as lines of at most `most` characters in all, those that mend security first."""
    lines = [c.said() for c in sorted(changes, key=lambda c: (not c.security, c.name))]
    rows: list[str] = []
    for n, line in enumerate(lines):
        if sum(len(k) + 1 for k in rows) + len(line) + 40 > most:
            rows.append(f"… and {len(lines) - n} more")
            break
        rows.append(line)
    return "\n".join(rows)


def of_sbom(document: Mapping[str, Any]) -> dict[str, str]:
    """Name → version of what an image contains that others made, by an SPDX document that `sbom` made."""
    found = {}
    for package in document["packages"]:
        kind = package["SPDXID"].split("-")[1]
        if kind in _LABELS:
            found[package["name"] + _LABELS[kind]] = package["versionInfo"]
    return found


def of_contents(contents: ImageContents) -> dict[str, str]:
    """The same, by what is kept beside the image."""
    return {c.name + _LABELS[c.kind]: c.version for c in contents.components if c.kind in _LABELS}
