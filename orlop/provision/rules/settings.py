"""Rules of `orlop`: its short forms, and what cannot be written on this system."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from orlop.errors import BadInput
from orlop.model.cluster.names import Role
from orlop.model.selinux import policy
from orlop.model.settings.cluster import problems
from orlop.model.settings.document import SETTINGS
from orlop.model.settings.kinds import FILE_NAME
from orlop.model.settings.table import SettingsTable
from orlop.provision.report import Report
from orlop.provision.rules import units
from orlop.provision.rules.unitfile import parse
from orlop.provision.source import Place
from orlop.provision.tree import Obj, Seq, Value

_SHELLS = ("/bin/sh", "/usr/bin/sh", "/usr/bin/env sh")

# what a Quadlet file of each kind must have: its section, and one of these options in it
QUADLETS = {
    ".container": ("Container", ("Image", "Rootfs")),
    ".pod": ("Pod", ()),
    ".volume": ("Volume", ()),
    ".network": ("Network", ()),
    ".kube": ("Kube", ("Yaml",)),
    ".image": ("Image", ("Image",)),
    ".build": ("Build", ("ImageTag",)),
}
_STARTED = (".container", ".pod", ".kube")

# where a file would be lost or could not be written, and why
_NO_FILES = {
    "/usr": "is read-only and checked by dm-verity",
    "/bin": "is part of /usr, which is read-only",
    "/sbin": "is part of /usr, which is read-only",
    "/lib": "is part of /usr, which is read-only",
    "/lib64": "is part of /usr, which is read-only",
    policy.FOLDER: policy.WHY,
    "/proc": "belongs to the kernel",
    "/sys": "belongs to the kernel",
    "/dev": "is made anew by udev",
    "/run": "is made anew when the system starts",
    "/tmp": "is empty when the system starts",
}


def check(root: Obj, report: Report) -> None:
    """What the user wrote in the short forms, before they become files."""
    _settings(root, SETTINGS, report)
    update = root.obj("update")
    if update.has("window") and update.text("strategy") != "window":
        report.warn(update.at("window"), "the window has no effect", "add `strategy: window`")
    for check in root.obj("health").objs("checks"):
        _one_of(check, "contents", "contents_local", report)
    if root.has("trust"):
        _one_of(root.obj("trust"), "root", "root_local", report)
    if root.has("cluster"):
        _cluster(root.obj("cluster"), report)
    for quadlet in root.objs("quadlets"):
        _quadlet(quadlet, report)


def _cluster(cluster: Obj, report: Report) -> None:
    """What a role needs and must not have, as the machine will judge it."""

    def has(name: str) -> bool:
        above, _, inner = name.rpartition(".")
        value = (cluster.obj(above) if above else cluster).values.get(inner)
        return bool(value.items) if isinstance(value, Seq) else value is not None

    with suppress(ValueError):  # a role that is none, which the table has said
        for name, problem, hint in problems(Role(cluster.text("role") or ""), has):
            report.error(cluster.at(name), problem, hint)


def _settings(obj: Obj, table: SettingsTable, report: Report) -> None:
    """What the table says of each setting, as the machine will ask it."""
    for setting in table.settings:
        name = setting.name
        for value, place in _given(obj, name):
            if isinstance(setting.kind, SettingsTable):
                if isinstance(value, Obj):
                    _settings(value, setting.kind, report)
                continue
            try:
                setting.one(value, name)
            except BadInput as e:
                report.error(place, e.message)
        if setting.many and (count := len(obj.seq(name).items)) > setting.many:
            report.error(obj.at(name), f"{name} has {count} entries, at most {setting.many} are read")
        if setting.needs and obj.text(name) == setting.needs[0] and not obj.has(setting.needs[1]):
            report.error(obj.at(name), setting.lacks(name), f"add `{setting.needs[1]}:`")


def _given(obj: Obj, name: str) -> Iterable[tuple[Value, Place]]:
    value = obj.values.get(name)
    if value is None:
        return ()
    return zip(value.items, value.places, strict=True) if isinstance(value, Seq) else ((value, obj.at(name)),)


def _quadlet(quadlet: Obj, report: Report) -> None:
    name = quadlet.text("name") or ""
    if units.suffix(name) not in QUADLETS or not _is_file_name(name.replace("@", "_")):
        report.error(
            quadlet.at("name"),
            f"{name!r} is not a valid name of a Quadlet file",
            f"NAME and one of: {' '.join(QUADLETS)}",
        )
    if not quadlet.objs("dropins") or (quadlet.has("contents") and quadlet.has("contents_local")):
        _one_of(quadlet, "contents", "contents_local", report)
    for dropin in quadlet.objs("dropins"):
        units.check_dropin(dropin, report)


def _is_file_name(text: str) -> bool:
    try:
        FILE_NAME.read(text, "name")
    except BadInput:
        return False
    return True


def check_quadlet(name: str, text: str, place: Place, report: Report) -> None:
    """The text of a Quadlet file, wherever it came from."""
    parsed = parse(text)
    kind = units.suffix(name)
    if parsed.problem:
        there = replace(place, span=place.span.inner(parsed.line))
        report.error(there, f"line {parsed.line} of the Quadlet file: {parsed.problem}")
    elif kind in QUADLETS:
        section, wanted = QUADLETS[kind]
        if section not in parsed.sections and not (f"[{section}]" in text and not wanted):
            report.error(place, f"{name} has no [{section}] section with options", "podman would not make a unit of it")
        elif wanted and not any((section, option) in parsed.options for option in wanted):
            report.error(place, f"{name} has no {' or '.join(wanted)} in [{section}]", "podman needs it")
        elif kind in _STARTED and "Install" not in parsed.sections and ("Container", "Pod") not in parsed.options:
            hint = "add [Install] with `WantedBy=multi-user.target`"
            report.warn(place, f"{name} has no [Install] section, so it is not started at boot", hint)


def check_program(text: bytes, place: Place, report: Report) -> None:
    """A health check must be something this system can run."""
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip()
    shell = re.fullmatch(r"#!\s*(\S+(?:\s+sh)?)(?:\s+-\S+)*", first)
    if text.startswith(b"\x7fELF"):
        return
    if not first.startswith("#!"):
        report.error(place, "this is not a program: it must begin with `#!`", "begin the script with `#!/bin/sh`")
    elif shell is None or re.sub(r"\s+", " ", shell[1]) not in _SHELLS:
        hint = "write it for `/bin/sh`, or let it ask a container: `podman exec`"
        report.warn(place, f"the image has no interpreter {first[2:].strip()[:60]!r}", hint)


def check_root(text: bytes, place: Place, report: Report) -> None:
    """The root keys that a machine is given, judged as the machine judges them."""
    from orlop.trust import verify  # slow to load, and few configurations have any
    from orlop.trust.errors import Refused

    try:
        verify.given_root(text)
    except Refused as e:
        hint = "give the root.json that `orlop release init` left, or metadata/1.root.json of the repository"
        report.error(place, f"these are not the root keys of a repository: {e.message}", hint)


def check_paths(root: Obj, report: Report) -> None:
    """Files and file systems go only where they stay."""
    storage = root.obj("storage")
    for name in ("directories", "files", "links"):
        for node in storage.objs(name):
            _place(node, node.text("path") or "", report)
    for filesystem in storage.objs("filesystems"):
        if filesystem.flag("with_mount_unit"):
            _place(filesystem, filesystem.text("path") or "", report)


def _place(obj: Obj, path: str, report: Report) -> None:
    for top, reason in _NO_FILES.items():
        if path == top or path.startswith(top + "/"):
            report.error(obj.at("path"), f"nothing can be put at {path}: {top} {reason}", "use /etc or /var")


def _one_of(obj: Obj, first: str, second: str, report: Report) -> None:
    given = [name for name in (first, second) if obj.has(name)]
    if len(given) == 2:
        report.error(obj.at(second), f"{first} and {second} are both given", "give one of them")
    elif not given:
        report.error(obj.place, f"{first} is missing", f"give {first} or {second}")
