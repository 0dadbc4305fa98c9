"""Names of units, as fleet and systemd have them, with the files of Quadlet beside them.

web.service is a unit; web@.service a template, from which web@1.service is made; web.container a file of Quadlet, and
orlop.model.fleet.quadlet says which service that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from orlop.errors import BadInput
from orlop.model.words.line import line

LONGEST = 256
SYSTEMD = (
    *("service", "socket", "busname", "target", "snapshot", "device", "mount", "automount", "swap", "timer", "path"),
    *("slice", "scope"),
)
QUADLET = ("container", "volume", "network", "pod", "kube", "image", "build")
TYPES = (*SYSTEMD, *QUADLET)
WITH_INSTANCES = ("path", "service", "socket", "target", "timer", "container", "kube", "pod", "volume", "network")
# a name without one of these is given .service by fleetctl
KNOWN_BY_COMMANDS = ("service", "socket", "timer", "path", "device", "mount", "automount", *QUADLET)


@dataclass(frozen=True)
class UnitName:
    """`full` is web@1.service, `name` web@1, `prefix` web; of an instance or a template also `template`, web@.service,
    and `instance`, 1 or nothing.
    """

    full: str
    name: str
    prefix: str
    template: str = ""
    instance: str = ""

    @property
    def is_instance(self) -> bool:
        return bool(self.instance)

    @property
    def is_template(self) -> bool:
        return bool(self.template) and not self.instance

    @property
    def suffix(self) -> str:
        return self.full[len(self.name) + 1 :]

    def fill(self, text: str) -> str:
        """The text with its specifiers replaced, in fleet's order: %n %N %p %i."""
        for specifier, value in (("%n", self.full), ("%N", self.name), ("%p", self.prefix), ("%i", self.instance)):
            text = text.replace(specifier, value)
        return text

    def of(self, instance: str) -> str:
        """The name of an instance of this template."""
        return f"{self.prefix}@{instance}.{self.suffix}"


def split(text: str) -> UnitName:
    """The parts of a name, which need not be valid; one without a dot is its own prefix."""
    name, dot, suffix = text.rpartition(".")
    if not dot:
        return UnitName(text, text, text)
    prefix, at, instance = name.partition("@")
    if not at:
        return UnitName(text, name, name)
    return UnitName(text, name, prefix, f"{prefix}@.{suffix}", instance)


def parse(text: str) -> UnitName:
    """Raises BadInput."""
    if why := trouble(text):
        raise BadInput(f"{line(text, 60)!r} is not a valid name of a unit: {why}")
    return split(text)


def trouble(text: str) -> str:
    """Why it is not the name of a unit; empty when it is."""
    stem, dot, suffix = text.rpartition(".")
    wrong = re.search(r"[^A-Za-z0-9:_.\\@-]", stem)
    rules = (
        (not text, "it is empty"),
        (len(text) > LONGEST, f"it has more than {LONGEST} characters"),
        (not dot, "it must end in the unit's type, such as .service or .container"),
        (suffix not in TYPES, f"its type .{line(suffix, 20)} is not one of .{', .'.join(TYPES)}"),
        (not stem, "there must be something before its type"),
        (wrong is not None, f"the character {line(wrong[0])!r} must not be in it" if wrong else ""),
        (stem.startswith("@"), "it must not begin with @"),
        (stem.startswith("."), "it must not begin with a dot: systemd would take it for a hidden file"),
        ("@" in stem and suffix not in WITH_INSTANCES, f"a .{suffix} has no templates and no instances"),
    )
    return next((why for is_wrong, why in rules if is_wrong), "")


def mangled(text: str) -> str:
    """What a command makes of a path or a short name: its last part, with .service when it has no type."""
    base = text.rpartition("/")[2]
    return base if base.rpartition(".")[2] in KNOWN_BY_COMMANDS and "." in base else f"{base}.service"
