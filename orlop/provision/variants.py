"""The variants: which table each has, which sugar, and what of base 0.4 it does not allow, with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orlop.provision.decode import suggestion
from orlop.provision.report import Report
from orlop.provision.schema import Type
from orlop.provision.spec_variants import FCOS, FLATCAR, ORLOP
from orlop.provision.tree import Obj, Seq, Value

IGNITION_VERSION = "3.3.0"


@dataclass(frozen=True)
class Variant:
    """`refused`: path of keys → why the variant has no use for it. `closed`: unknown keys are errors."""

    name: str
    version: str
    type: Type
    closed: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)


_CLEVIS = "storage.luks.clevis"
VARIANTS = (
    Variant("fcos", "1.4.0", FCOS),
    Variant("flatcar", "1.0.0", FLATCAR, refused={_CLEVIS: "clevis is not in Flatcar"}),
    Variant(
        "orlop",
        "1.0.0",
        ORLOP,
        closed=True,
        refused={
            _CLEVIS: "clevis is not in the image; give the volume a key_file",
            "kernel_arguments": "the kernel's command line is signed with the image and cannot be changed on a machine",
        },
    ),
)
_LATER = {
    "fcos": ("1.5.0", "1.6.0", "1.7.0"),
    "flatcar": ("1.1.0",),
}
_SEMVER = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def choose(root: Obj, report: Report) -> Variant | None:
    """The variant that the keys `variant` and `version` name; None, and an error, when there is none."""
    name, version = root.text("variant"), root.text("version")
    names = tuple(dict.fromkeys(v.name for v in VARIANTS))
    if not name:
        hint = f"begin with `variant: orlop`; known: {', '.join(names)}"
        report.error(root.at("variant"), "variant is missing", hint)
        return None
    if name not in names:
        report.error(root.at("variant"), f"unknown variant {name!r}", suggestion(name, names))
        return None
    ours = next(v for v in VARIANTS if v.name == name)
    if not version:
        report.error(root.at("version"), "version is missing", f"add `version: {ours.version}`")
    elif not _SEMVER.fullmatch(version):
        report.error(root.at("version"), f"{version!r} is no version", f"three numbers: `version: {ours.version}`")
    elif version != ours.version:
        later = version in _LATER.get(name, ())
        why = f"it needs an Ignition newer than {IGNITION_VERSION}" if later else f"known: {ours.version}"
        hint = f"{why}; write `version: {ours.version}`"
        report.error(root.at("version"), f"{name} {version} is not supported", hint)
    else:
        return ours
    return None


def refuse(root: Obj, variant: Variant, report: Report) -> None:
    """An error for everything in the config that the variant does not allow."""
    for path, reason in variant.refused.items():
        _refuse(root, path.split("."), reason, report)


def _refuse(value: Value | None, path: list[str], reason: str, report: Report) -> None:
    if isinstance(value, Seq):
        for item in value.objects():
            _refuse(item, path, reason, report)
    elif isinstance(value, Obj):
        if path:
            _refuse(value.values.get(path[0]), path[1:], reason, report)
        elif not value.empty:
            report.error(value.place, f"{value.place.key} is not supported by this variant", reason)
