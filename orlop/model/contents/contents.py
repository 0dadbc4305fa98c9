"""The components of an image and its files, each with the component it comes from; kept beside it as `contents.json`.

Why beside the manifest and not in it: the manifest is what everybody reads of an image, and this is long. A release's
SBOM and `orlop image diff` are made from it.

Invariant: every file that names a component names one of the list, and every `LicenseRef-…` in an expression has its
text. Sources: purl (package-url/purl-spec) for names that scanners know, SPDX 2.3 annex D for expressions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import quote

from orlop.model.words.strict import Fields, Wrong, parse_json
from orlop.model.words.version import Version

SCHEMA = "orlop.contents/1"
MAX_CONTENTS = 32 << 20  # bytes of JSON; an image has about one million
MAX_TEXT = 1 << 20
UNKNOWN = "NOASSERTION"
LICENCE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")

Kind = Literal["deb", "pypi", "own"]
KINDS: tuple[Kind, ...] = ("deb", "pypi", "own")


@dataclass(frozen=True, order=True)
class Source:
    """A source package of Debian."""

    name: str
    version: str


@dataclass(frozen=True)
class Component:
    """A Debian package, a Python package from PyPI, or Orlop's own files. `licence`: an SPDX expression, or UNKNOWN.

    Of a Debian package: its architecture, the code name of Debian's release, its source, and further sources whose
    code was built into its programs.
    """

    kind: Kind
    name: str
    version: str
    licence: str
    arch: str = ""
    distro: str = ""
    source: Source | None = None
    built_from: tuple[Source, ...] = ()

    @property
    def key(self) -> str:
        """How files name it."""
        return f"{self.kind}:{self.name}"

    @property
    def purl(self) -> str:
        """Its package URL; the source is said as scanners read it, in `upstream`."""
        if self.kind == "own":
            return f"pkg:generic/{_quoted(self.name)}@{_quoted(self.version)}"
        if self.kind == "pypi":
            return f"pkg:pypi/{_quoted(re.sub('[-_.]+', '-', self.name).lower())}@{_quoted(self.version)}"
        upstream = ""
        if self.source and self.source.version != self.version:
            upstream = f"&upstream={_quoted(self.source.name)}%40{_quoted(self.source.version)}"
        elif self.source and self.source.name != self.name:
            upstream = f"&upstream={_quoted(self.source.name)}"
        return deb_purl(self.name, self.version, self.arch, self.distro) + upstream


def deb_purl(name: str, version: str, arch: str, distro: str) -> str:
    """The package URL of a Debian package; `arch` is "source" of a source package."""
    return f"pkg:deb/debian/{_quoted(name)}@{_quoted(version)}?arch={_quoted(arch)}&distro={_quoted(distro)}"


def _quoted(text: str) -> str:
    return quote(text, safe=":")


@dataclass(frozen=True)
class File:
    """`digest`: SHA-256 in hexadecimal, or "→ target" of a link; `component`: a key, or "" when the build made it."""

    size: int
    digest: str
    component: str


@dataclass(frozen=True)
class ImageContents:
    """`licences`: LicenseRef → its text; `files`: by their paths, `usr/…`, and `efi/…` for what is on the ESP."""

    version: Version
    components: tuple[Component, ...]
    licences: Mapping[str, str]
    files: Mapping[str, File]

    def sources(self) -> Iterator[tuple[Source, str]]:
        """Each source package that something in the image was built from, and the component that was."""
        for component in self.components:
            for source in (*([component.source] if component.source else []), *component.built_from):
                yield source, component.key

    def version_of(self, package: str) -> str:
        """Of a Debian package; "" when it is not in the image."""
        return next((c.version for c in self.components if (c.kind, c.name) == ("deb", package)), "")

    def known_licences(self) -> dict[str, int]:
        """How many components have a licence that SPDX names all of, that is partly said by text, or is not known."""
        count = Counter(_how_known(component.licence) for component in self.components)
        return {how: count[how] for how in ("named", "by_text", "unknown")}


def _how_known(licence: str) -> str:
    return "unknown" if licence == UNKNOWN else "by_text" if LICENCE_REF.search(licence) else "named"


def encode(contents: ImageContents) -> bytes:
    document = {
        "schema": SCHEMA,
        "version": str(contents.version),
        "components": [_written(component) for component in contents.components],
        "licences": dict(sorted(contents.licences.items())),
        "files": {path: [f.size, f.digest, f.component] for path, f in sorted(contents.files.items())},
    }
    return json.dumps(document, indent=0, ensure_ascii=False).encode() + b"\n"


def _written(component: Component) -> dict[str, object]:
    base = {"kind": component.kind, "name": component.name, "version": component.version, "licence": component.licence}
    if component.kind != "deb" or component.source is None:
        return dict(base)
    return {
        **base,
        "arch": component.arch,
        "distro": component.distro,
        "source": _pair(component.source),
        "built_from": [_pair(source) for source in component.built_from],
    }


def _pair(source: Source) -> dict[str, str]:
    return {"name": source.name, "version": source.version}


def decode(raw: bytes) -> ImageContents:
    """What `encode` wrote. Raises Wrong, which says where."""
    fields = Fields.of("", parse_json(raw, MAX_CONTENTS))
    fields.choice("schema", SCHEMA)
    components = tuple(map(_component, fields.items("components", 10_000)))
    licences = fields.fields("licences")
    contents = ImageContents(
        fields.version("version"),
        components,
        {ref: licences.value(ref, str) for ref in licences.values},
        dict(_files(fields.fields("files"), {component.key for component in components})),
    )
    named = {ref for component in components for ref in LICENCE_REF.findall(component.licence)}
    if named != set(contents.licences):
        raise Wrong(f"the licences with a text are not those that are named: {min(named ^ set(contents.licences))}")
    return contents


def _component(fields: Fields) -> Component:
    kind = cast("Kind", fields.choice("kind", *KINDS))
    name, version, licence = fields.line("name", 200), fields.line("version", 200), fields.line("licence", 20_000)
    if kind != "deb":
        return Component(kind, name, version, licence)
    return Component(
        kind,
        name,
        version,
        licence,
        arch=fields.line("arch", 40),
        distro=fields.line("distro", 40),
        source=_source(fields.fields("source")),
        built_from=tuple(map(_source, fields.items("built_from", 10_000))),
    )


def _source(fields: Fields) -> Source:
    return Source(fields.line("name", 200), fields.line("version", 200))


def _files(fields: Fields, known: set[str]) -> Iterator[tuple[str, File]]:
    for path in fields.values:
        match fields.value(path, list):
            case [int(size), str(digest), str(component)] if not component or component in known:
                yield path, File(size, digest, component)
            case _:
                raise Wrong(f"{fields.at(path)} must be a size, a digest and the key of a component")
