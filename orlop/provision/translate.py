"""A config, Butane or Ignition's JSON of any version, to an Ignition config of the version that machines read: text in,
JSON and a report out. No I/O but through `LocalFiles`.

    text → nodes (yamltree, jsontree) → values (decode, by the table of the variant)
         → what the variant refuses, rules about short forms → sugar → rules of Ignition → JSON (emit)

Everything that is wrong goes into the report, with its place; nothing is raised for what a user wrote. All steps run
even when one found errors, so that one run shows them all: what decoding left out is not missed a second time (see
`_others`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orlop.model.words.sizes import CONFIG_BYTES
from orlop.provision.decode import Decoder
from orlop.provision.emit import ignition_json
from orlop.provision.foreign import honour, notice
from orlop.provision.foreign.texts import configured
from orlop.provision.local import LocalFiles, NoFiles
from orlop.provision.report import Report, ReportEntry, Severity
from orlop.provision.rules import disks, duplicates, quadlets, units, versions
from orlop.provision.rules import files as file_rules
from orlop.provision.rules import resources as resource_rules
from orlop.provision.rules import settings as rules
from orlop.provision.scalars import is_null, shown
from orlop.provision.schema import Type
from orlop.provision.source import ROOT, Place
from orlop.provision.spec_base import VARIANT, VERSION
from orlop.provision.sugar import bootdevice, embedded, mounts, resources, settings, texts, trees
from orlop.provision.sugar.embedded import Older
from orlop.provision.tree import Obj
from orlop.provision.variants import IGNITION_VERSION, Variant, choose, choose_json, refuse
from orlop.provision.yamltree import YamlError, YamlKind, YamlNode, parse, text_of

_HEAD = Type("config", (replace(VARIANT, required=False), replace(VERSION, required=False)))


@dataclass(frozen=True, slots=True)
class Translation:
    """`ignition` is the JSON text; None when there are errors. `text`: the source, for showing the report. `root`: the
    finished config with the place of every value, where there is one.
    """

    ignition: str | None
    report: Report
    text: str
    root: Obj | None = None


def translate(
    raw: bytes,
    files: LocalFiles | None = None,
    *,
    pretty: bool = False,
    strict: bool = False,
    ignition: bool | None = None,
) -> Translation:
    """Translate one config. `strict`: warnings count as errors, and no JSON is made. `ignition`: whether it is
    Ignition's JSON; None: as it looks.
    """
    report = Report()
    text = raw.decode("utf-8", "replace")
    root: Obj | None = None
    try:
        text = text_of(raw)
        if is_ignition(text) if ignition is None else ignition:
            root = _read_json(text, files or NoFiles(), report)
        else:
            root = _read_butane(text, files or NoFiles(), report)
    except YamlError as e:
        report.error(Place(e.span), e.message, e.hint)
    if root is None or report.failed(strict=strict):
        return Translation(None, report, text, None if report.errors else root)
    made = ignition_json(root, pretty=pretty)
    if len(made) > CONFIG_BYTES:
        limit = CONFIG_BYTES // 1_000_000
        report.error(
            ROOT,
            f"the config is {len(made)} bytes with all that is inside it, and a machine takes {limit} MB",
            "put what is large on a server, and give its `source` with a `verification.hash`: it is fetched once",
        )
        return Translation(None, report, text, root)
    return Translation(made, report, text, root)


def is_ignition(text: str) -> bool:
    """Whether it is Ignition's JSON and not Butane, of which JSON is a way of writing."""
    if not text.lstrip().startswith("{") or '"ignition"' not in text:
        return False
    from orlop.provision import jsontree  # Butane, which most configs are, needs none of it

    try:
        node = jsontree.parse(text)
    except YamlError:
        return '"variant"' not in text
    return node is not None and "ignition" in node.keys and "variant" not in node.keys


def _read_json(text: str, files: LocalFiles, report: Report) -> Obj | None:
    """The config checked; None when it could not even be read."""
    from orlop.provision import jsontree

    node = jsontree.parse(text)
    if node is None or node.kind is not YamlKind.MAP:
        said = "the config is empty" if node is None else f"the config needs to be an object, not {shown(node)}"
        report.error(ROOT, said, f'begin with `{{"ignition": {{"version": "{IGNITION_VERSION}"}}}}`')
        return None
    inner = node.keys["ignition"].value if "ignition" in node.keys else None
    key = inner.keys.get("version") if inner is not None else None
    place = (
        Place(node.span).at("ignition", inner.span if inner else None).at("version", key.value.span if key else None)
    )
    variant = choose_json(key.value.text if key and key.value.kind is YamlKind.SCALAR else None, place, report)
    if variant is None:
        return None
    if inner is not None and inner.kind is YamlKind.MAP:  # which is read, and is not a key of the table
        rest = {name: value for name, value in inner.keys.items() if name != "version"}
        top = {**node.keys, "ignition": replace(node.keys["ignition"], value=replace(inner, keys=rest))}
        node = replace(node, keys=top)
    return _finished(node, variant, files, report)


def _read_butane(text: str, files: LocalFiles, report: Report) -> Obj | None:
    """The config without sugar, checked; None when it could not even be read."""
    node = parse(text)
    if node is None or node.kind is not YamlKind.MAP:
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
    return _finished(node, variant, files, report)


def _finished(node: YamlNode, variant: Variant, files: LocalFiles, report: Report) -> Obj | None:
    decoder = Decoder(report, variant.closed, variant.unread, variant.level, variant.hidden, json=variant.json)
    root = decoder.obj(node, variant.type, Place(node.span))
    later = Report() if decoder.wrong else report
    refuse(root, variant, later)
    duplicates.check(root, later)  # before merging with what the sugar makes, which would hide them
    root = _checked(_desugared(root, variant, files, later), variant, later)
    if later is not report:
        report.take(_others(later.entries, decoder.wrong))
    return root


def _others(found: Iterable[ReportEntry], wrong: Sequence[Place]) -> Iterable[ReportEntry]:
    """The findings that cannot be due to what decoding left out: they are in other parts of the config. With such
    errors, warnings wait: they may be about something that was left out.
    """
    parts = {place.part for place in wrong}
    return [e for e in found if e.severity is Severity.ERROR and e.place.part not in parts]


def _head(node: YamlNode, report: Report) -> Obj:
    keys = {name: key for name, key in node.keys.items() if name in _HEAD.by_name}
    return Decoder(report).obj(replace(node, keys=keys), _HEAD, Place(node.span))


def _desugared(root: Obj, variant: Variant, files: LocalFiles, report: Report) -> Obj:
    root = texts.desugar(root, files, report)
    if variant.name == "orlop":
        rules.check(root, report)
        root = settings.desugar(root, files, report)
    root = resources.desugar(root, files, report)
    root = mounts.desugar(root, report)
    root = trees.desugar(root, files, report)
    root = embedded.desugar(root, _older, report)
    config = configured(root)
    notice.check(root, config, report)
    return honour.desugar(root, config, report)


def _older(raw: bytes) -> Older:
    """A config that is inside another one."""
    made = translate(raw, ignition=True)
    why = next((e.message for e in made.report.sorted() if e.severity is Severity.ERROR), "")
    return Older(made.ignition, why)


def _checked(root: Obj, variant: Variant, report: Report) -> Obj:
    for topic in (resource_rules, file_rules, disks, units, quadlets, duplicates):
        topic.check(root, report)
    versions.check(root, variant, report)
    if variant.name == "orlop":
        rules.check_paths(root, report)
    if variant.name == "fcos":
        bootdevice.check(root, report)
        bootdevice.warnings(root, report)
    return root
