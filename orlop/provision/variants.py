"""The variants and their versions: which keys each has, and what of it this system cannot do, with reasons.

Every version is written as Ignition 3.3.0, which is what the machine's Ignition reads. So an older version is read by
its own rules, and a newer one is taken where all that it says can be said in 3.3.0; what cannot is refused key by key.
The same holds for Ignition's own JSON, whose versions are variants too.

Source: "Specifications" in Butane's documentation, which tells the Ignition version of each Butane version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orlop.model.settings.document import UNREAD
from orlop.provision.decode import NEWEST, suggestion
from orlop.provision.report import Report
from orlop.provision.schema import Type
from orlop.provision.source import Place
from orlop.provision.spec_variants import FCOS, FLATCAR, IGNITION_JSON, ORLOP
from orlop.provision.tree import Obj, Seq, Value

IGNITION_VERSION = "3.3.0"
IGNITION_LEVEL = 4  # of the bases: what it has


@dataclass(frozen=True)
class Variant:
    """`level`: the newest base whose keys it has. `hidden`: paths of keys that it has not, although its base does.
    `refused`: path of keys → why the variant has no use for it. `closed`: unknown keys are errors. `unread`: path of
    keys that nobody would read → what to do instead. `json`: it is Ignition's own JSON.
    """

    name: str
    version: str
    type: Type
    level: int
    closed: bool = False
    hidden: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    json: bool = False


# path of keys → what to do instead: newer than Ignition 3.3, which has no other word for it
UNMEANT = {
    "storage.luks.discard": "leave it out: discards are not passed on to the device",
    "storage.luks.open_options": "leave it out: a volume is opened without options",
    "storage.luks.cex": "leave it out: such cards are in s390x machines, and the images are for x86-64 ones; "
    "give the volume a `key_file`, or nothing: then the machine makes a key",
    "storage.luks.clevis.tang.advertisement": "leave clevis out, which is not in the image: give the volume a "
    "`key_file`, or nothing: then the machine makes a key",
    "grub": "leave it out: the machine starts by systemd-boot, which has no users and no passwords",
}
_CLEVIS = "storage.luks.clevis"
# what base 0.1 has for the contents of files, and not for configs and certificates
_ONLY_FILES_1 = frozenset(
    f"ignition.{place}.{key}"
    for place in (
        "config.merge",
        "config.replace",
        "security.tls.certificate_authorities",
        "security.tls.certificateAuthorities",
    )
    for key in ("compression", "inline")
)
_FCOS_LEVELS = (1, 2, 3, 3, 4, 5, 6, 7)  # of 1.0.0, 1.1.0, …


def _hidden(minor: int) -> frozenset[str]:
    """What `fcos` 1.MINOR has not, although another version of the same base has it."""
    return (_ONLY_FILES_1 if minor == 0 else frozenset()) | (frozenset({"boot_device"}) if minor < 3 else frozenset())


VARIANTS = (
    *(Variant("fcos", f"1.{n}.0", FCOS, level, hidden=_hidden(n)) for n, level in enumerate(_FCOS_LEVELS)),
    *(
        Variant("flatcar", f"1.{n}.0", FLATCAR, level, refused={_CLEVIS: "clevis is not in Flatcar"})
        for n, level in enumerate((4, 5))
    ),
    Variant(
        "orlop",
        "1.0.0",
        ORLOP,
        NEWEST,
        closed=True,
        hidden=frozenset(UNMEANT),
        refused={
            _CLEVIS: "clevis is not in the image; give the volume a key_file",
            "kernel_arguments": "the kernel's command line is signed with the image and cannot be changed on a machine",
        },
        unread=UNREAD,
    ),
)
JSON_VARIANTS = tuple(
    Variant("ignition", f"3.{n}.0", IGNITION_JSON, n + 1, hidden=_hidden(n), json=True) for n in range(NEWEST)
)
_SEMVER = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


def choose(root: Obj, report: Report) -> Variant | None:
    """The variant that the keys `variant` and `version` name; None, and an error, when there is none."""
    name = root.text("variant")
    names = tuple(dict.fromkeys(v.name for v in VARIANTS))
    if not name:
        hint = f"begin with `variant: orlop`; known: {', '.join(names)}"
        report.error(root.at("variant"), "variant is missing", hint)
        return None
    if name not in names:
        report.error(root.at("variant"), f"unknown variant {name!r}", suggestion(name, names))
        return None
    ours = [v for v in VARIANTS if v.name == name]
    return _of_version(ours, root.text("version"), root.at("version"), f"`version: {ours[-1].version}`", report)


def choose_json(version: str | None, place: Place, report: Report) -> Variant | None:
    """The same for Ignition's JSON, by its `ignition.version`."""
    example = f'`"version": "{IGNITION_VERSION}"`'
    if version is not None and version.startswith(("1.", "2.")):
        hint = "such configs are another language: write it anew in Butane, or convert it with ign-converter"
        report.error(place, f"Ignition {version} is not supported", hint)
        return None
    return _of_version(JSON_VARIANTS, version, place, example, report)


def _of_version(
    ours: list[Variant] | tuple[Variant, ...], version: str | None, place: Place, example: str, report: Report
) -> Variant | None:
    name = ours[0].name.replace("ignition", "Ignition")
    known = ours[0].version if len(ours) == 1 else f"{ours[0].version} to {ours[-1].version}"
    if not version:
        report.error(place, "version is missing", f"add {example}")
    elif not _SEMVER.fullmatch(version):
        report.error(place, f"{version!r} is not a valid version", f"three numbers: {example}")
    elif (found := next((v for v in ours if v.version == version), None)) is None:
        report.error(place, f"{name} {version} is not supported", f"known: {known}; write {example}")
    else:
        return found
    return None


def refuse(root: Obj, variant: Variant, report: Report) -> None:
    """An error for everything in the config that the variant does not allow, or that Ignition 3.3 cannot say."""
    for path, reason in variant.refused.items():
        _refuse(root, path.split("."), "is not supported by this variant", reason, report)
    if variant.level > IGNITION_LEVEL:
        what = f"cannot be done: Ignition {IGNITION_VERSION}, which the machine has, does not know it"
        for path, reason in UNMEANT.items():
            _refuse(root, path.split("."), what, reason, report)


def _refuse(
    value: Value | None, path: list[str], what: str, reason: str, report: Report, place: Place | None = None
) -> None:
    if path:
        for obj in value.objects() if isinstance(value, Seq) else [value] if isinstance(value, Obj) else []:
            _refuse(obj.values.get(path[0]), path[1:], what, reason, report, obj.at(path[0]))
    elif place is not None and _says_something(value):
        report.error(place, f"{place.key} {what}", reason)


def _says_something(value: Value | None) -> bool:
    """Whether leaving it out would make a difference."""
    if isinstance(value, Obj):
        return any(map(_says_something, value.values.values()))
    return bool(value.items) if isinstance(value, Seq) else bool(value)
