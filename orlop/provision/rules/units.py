"""Rules about systemd units and their drop-ins."""

from __future__ import annotations

from dataclasses import replace

from orlop.provision.report import Report
from orlop.provision.rules.unitfile import UnitFile, parse
from orlop.provision.tree import Obj

SUFFIXES = (
    *(".service", ".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".snapshot"),
    *(".slice", ".scope"),
)


def check(root: Obj, report: Report) -> None:
    for unit in root.obj("systemd").objs("units"):
        name = unit.text("name") or ""
        if suffix(name) not in SUFFIXES:
            report.error(unit.at("name"), f"{name!r} has no suffix of a unit", f"one of: {' '.join(SUFFIXES)}")
        check_name(unit, report)
        parsed = check_text(unit, report)
        if unit.flag("enabled") and unit.text("contents") and not parsed.problem and "Install" not in parsed.sections:
            report.warn(
                unit.at("enabled"),
                f"{name} is enabled and has no [Install] section, so it is not started",
                "add [Install] with `WantedBy=multi-user.target`",
            )
        for dropin in unit.objs("dropins"):
            check_dropin(dropin, report)


def suffix(name: str) -> str:
    return name[name.rindex(".") :] if "." in name.rpartition("/")[2] else ""


def check_name(obj: Obj, report: Report) -> None:
    """A name that becomes a file name may not lead elsewhere."""
    name = obj.text("name") or ""
    if "/" in name or "\0" in name:
        report.error(obj.at("name"), f"the name {name!r} holds a slash", "give only the file name")


def check_dropin(dropin: Obj, report: Report) -> None:
    name = dropin.text("name") or ""
    if suffix(name) != ".conf":
        report.error(dropin.at("name"), f"{name!r} does not end in .conf", "a drop-in is only read if it does")
    check_name(dropin, report)
    check_text(dropin, report)


def check_text(obj: Obj, report: Report) -> UnitFile:
    """Parse `contents` and say what is wrong with it, with the line inside the unit."""
    parsed = parse(obj.text("contents") or "")
    if parsed.problem:
        place = obj.at("contents")
        report.error(
            replace(place, span=place.span.inner(parsed.line)), f"line {parsed.line} of the unit: {parsed.problem}"
        )
    return parsed
