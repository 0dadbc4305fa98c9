"""A Butane config to an Ignition config: text in, JSON and a report out. No I/O but through `LocalFiles`.

    text → nodes (yamltree) → values (decode, by the table of the variant)
         → what the variant refuses, rules about short forms → sugar → rules of Ignition → JSON (emit)

Everything that is wrong goes into the report, with its place; nothing is raised for what a user wrote. Steps after
decoding all run even when one found errors, so that one run shows them all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orlop.provision.decode import Decoder
from orlop.provision.emit import ignition_json
from orlop.provision.local import LocalFiles, NoFiles
from orlop.provision.report import Report
from orlop.provision.rules import disks, duplicates, units
from orlop.provision.rules import files as file_rules
from orlop.provision.rules import resources as resource_rules
from orlop.provision.rules import settings as rules
from orlop.provision.scalars import is_null
from orlop.provision.schema import Type
from orlop.provision.source import ROOT, Place
from orlop.provision.spec_base import VARIANT, VERSION
from orlop.provision.sugar import bootdevice, mounts, resources, settings, trees
from orlop.provision.tree import Obj
from orlop.provision.variants import Variant, choose, refuse
from orlop.provision.yamltree import Kind, Node, YamlError, parse, text_of

_HEAD = Type("config", (replace(VARIANT, required=False), replace(VERSION, required=False)))


@dataclass(frozen=True, slots=True)
class Result:
    """`ignition` is the JSON text; None when there are errors. `text`: the source, for showing the report. `root`: the
    finished config with the place of every value, where there is one.
    """

    ignition: str | None
    report: Report
    text: str
    root: Obj | None = None


def translate(raw: bytes, files: LocalFiles | None = None, *, pretty: bool = False, strict: bool = False) -> Result:
    """Translate one config. `strict`: warnings count as errors, and no JSON is made."""
    report = Report()
    text = raw.decode("utf-8", "replace")
    root: Obj | None = None
    try:
        text = text_of(raw)
        root = _finished(text, files or NoFiles(), report)
    except YamlError as e:
        report.error(Place(e.span), e.message, e.hint)
    if root is None or report.failed(strict=strict):
        return Result(None, report, text, root)
    return Result(ignition_json(root, pretty=pretty), report, text, root)


def _finished(text: str, files: LocalFiles, report: Report) -> Obj | None:
    """The config without sugar, checked; None when it could not even be read."""
    node = parse(text)
    if node is None or node.kind is not Kind.MAP:
        empty = node is None or is_null(node)
        report.error(
            ROOT,
            "the config is empty" if empty else "the config is not a mapping",
            "begin with `variant: orlop` and `version: 1.0.0`",
        )
        return None
    head = _head(node, report)
    variant = None if report.errors else choose(head, report)
    if variant is None:
        return None
    root = Decoder(report, closed=variant.closed).obj(node, variant.type, Place(node.span))
    if report.errors:
        return None
    refuse(root, variant, report)
    duplicates.check(root, report)  # before merging with what the sugar makes, which would hide them
    return _checked(_desugared(root, variant, files, report), variant, report)


def _head(node: Node, report: Report) -> Obj:
    keys = {name: key for name, key in node.keys.items() if name in _HEAD.by_name}
    return Decoder(report).obj(replace(node, keys=keys), _HEAD, Place(node.span))


def _desugared(root: Obj, variant: Variant, files: LocalFiles, report: Report) -> Obj:
    if variant.name == "orlop":
        rules.check(root, report)
        root = settings.desugar(root, files, report)
    root = resources.desugar(root, files, report)
    root = mounts.desugar(root, report)
    root = trees.desugar(root, files, report)
    return bootdevice.desugar(root, report) if variant.name == "fcos" else root


def _checked(root: Obj, variant: Variant, report: Report) -> Obj:
    for topic in (resource_rules, file_rules, disks, units, duplicates):
        topic.check(root, report)
    if variant.name == "orlop":
        rules.check_paths(root, report)
    if variant.name == "fcos":
        bootdevice.warnings(root, report)
    return root
