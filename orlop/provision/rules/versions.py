"""Values that a version of the language does not have, although the version that is written does.

Keys are told apart by the table (`Field.since`); here are the values that came later with keys that were there. An
older version is read by its own rules: what its Ignition refuses is refused here, and the hint says which one has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from orlop.provision.report import Report
from orlop.provision.rules import urls
from orlop.provision.source import Place
from orlop.provision.tree import Obj, walk
from orlop.provision.variants import JSON_VARIANTS, VARIANTS, Variant

SPECIAL_BITS = 0o7000
BITS_ARE_SET = 7  # the base whose Ignition sets them


def check(root: Obj, variant: Variant, report: Report) -> None:
    for level, place, what in _newer(root):
        if level > variant.level:
            report.error(place, f"{variant.name} {variant.version} does not have {what}", _raise(variant, level))
    if variant.level >= BITS_ARE_SET and variant.name != "orlop":
        _bits(root, report)


def _newer(root: Obj) -> Iterator[tuple[int, Place, str]]:
    """Values with the base that brought each."""
    for obj in walk(root):
        if obj.type.name == "verification" and (obj.text("hash") or "").startswith("sha256-"):
            yield 2, obj.at("hash"), "hashes of the kind sha256"
        elif obj.type.name == "resource" and urls.scheme(obj.text("source") or "") == "gs":
            yield 3, obj.at("source"), "URLs of Google Cloud Storage"
        elif obj.type.name == "filesystem" and obj.text("format") == "none":
            yield 4, obj.at("format"), "the format none"
        elif obj.type.name == "filesystem" and obj.text("format") == "swap" and obj.flag("with_mount_unit"):
            yield 4, obj.at("with_mount_unit"), "units for swap"


def _raise(variant: Variant, level: int) -> str:
    same = [v for v in (*VARIANTS, *JSON_VARIANTS) if v.name == variant.name and v.level >= level]
    return f"it came with {same[0].version}: raise `version`" if same else ""


def _bits(root: Obj, report: Report) -> None:
    """Those versions promise setuid, setgid and sticky, which the machine's Ignition leaves out."""
    storage = root.obj("storage")
    for node in (*storage.objs("files"), *storage.objs("directories")):
        mode = node.number("mode") or 0
        if SPECIAL_BITS & mode and mode <= 0o7777:
            path = node.text("path")
            report.error(
                node.at("mode"),
                f"setuid, setgid and sticky cannot be set here, and {path} asks for them",
                f"give the mode 0{mode & 0o777:o}, and the line `z {path} {mode:04o}` in /etc/tmpfiles.d/modes.conf",
            )
