"""What is in an image, as an SPDX 2.3 document: one package for the image, and each component that it contains.

A component is a Debian package, a Python package from PyPI, or Orlop's own files. Sources whose code was built into a
component's programs are packages too; the image does not contain them, and what their licences are is not known here.
Licences are those that a package declares (`licenseDeclared`); nobody concluded more from them. A licence that SPDX has
no name for has its text in the document.

Source: the SPDX specification 2.3 (JSON), and purl. The same image always gives the same document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from orlop.built import BuiltImage
from orlop.errors import BadInput
from orlop.model.contents.contents import UNKNOWN, Component, Source, deb_purl

_ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
IMAGE = "SPDXRef-image"
_SUPPLIERS = {"deb": "Organization: Debian", "pypi": "Organization: Python Package Index"}


def spdx(built: BuiltImage) -> dict[str, Any]:
    """The document for an image. Raises Missing or BadInput when the image lacks what it needs."""
    manifest, contents = built.manifest, built.contents
    version, roothash = manifest.version, manifest.root_hash
    image = _package(IMAGE, "orlop", str(version)) | {
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "checksums": [{"algorithm": "SHA256", "checksumValue": manifest.sum_of(built.files.usr)}],
    }
    parts = [_component(component) for component in contents.components]
    distro = {source: c.distro for c in contents.components for source in c.built_from}
    sources = [_source(source, distro[source]) for source in sorted(distro)]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"orlop-{version}",
        "documentNamespace": f"urn:orlop:spdx:{version}:{roothash}",
        "creationInfo": {
            "created": datetime.fromtimestamp(version.epoch, UTC).strftime(_STAMP),
            "creators": ["Tool: orlop"],
        },
        "packages": [image, *parts, *sources],
        "hasExtractedLicensingInfos": [
            {"licenseId": ref, "name": ref.removeprefix("LicenseRef-"), "extractedText": text}
            for ref, text in sorted(contents.licences.items())
        ],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE),
            *(_relation(IMAGE, "CONTAINS", p["SPDXID"]) for p in parts),
            *(
                _relation(_ref(c.kind, c.name), "GENERATED_FROM", _source_ref(source))
                for c in contents.components
                for source in c.built_from
            ),
        ],
    }
    validate(document)
    return document


def _component(component: Component) -> dict[str, Any]:
    made: dict[str, Any] = _package(_ref(component.kind, component.name), component.name, component.version)
    made |= {"licenseDeclared": component.licence, **_purl(component.purl)}
    if component.kind in _SUPPLIERS:
        made["supplier"] = _SUPPLIERS[component.kind]
    if component.source:
        made["sourceInfo"] = f"built from the source package {component.source.name} {component.source.version}"
    return made


def _source(source: Source, distro: str) -> dict[str, Any]:
    made = _package(_source_ref(source), source.name, source.version)
    return made | _purl(deb_purl(source.name, source.version, "source", distro)) | {"supplier": _SUPPLIERS["deb"]}


def encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _package(ref: str, name: str, version: str) -> dict[str, Any]:
    return {
        "SPDXID": ref, "name": name, "versionInfo": version, "downloadLocation": UNKNOWN, "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN, "licenseDeclared": UNKNOWN, "copyrightText": UNKNOWN,
    }  # fmt: skip


def _purl(locator: str) -> dict[str, Any]:
    refs = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}]
    return {"externalRefs": refs}


def _ref(kind: str, name: str) -> str:
    """An identifier may have letters, digits, dots and dashes; no two names give the same one."""
    for sign, word in (("+", "plus"), ("~", "tilde"), (":", "colon"), ("_", "line")):
        name = name.replace(sign, f"-{word}")
    return f"SPDXRef-{kind}-{name}"


def _source_ref(source: Source) -> str:
    return _ref("source", f"{source.name}-{source.version}")


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def validate(document: Mapping[str, Any]) -> None:
    """Raise BadInput unless the document keeps the rules of SPDX 2.3 for what `spdx` uses of it."""
    try:
        trouble = next((what for good, what in _rules(document) if not good), "")
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        trouble = f"{e} is missing or of the wrong kind"
    if trouble:
        raise BadInput(f"the SPDX document is not valid: {trouble}")


def _rules(document: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    """Each rule: whether it is kept, and what is wrong when it is not."""
    for key, value in (("spdxVersion", "SPDX-2.3"), ("dataLicense", "CC0-1.0"), ("SPDXID", "SPDXRef-DOCUMENT")):
        yield document[key] == value, f"{key} is not {value}"
    namespace = document["documentNamespace"]
    yield bool(document["name"]), "it has no name"
    yield ":" in namespace and "#" not in namespace, "its namespace must be an absolute URI without a fragment"
    datetime.strptime(document["creationInfo"]["created"], _STAMP)  # noqa: DTZ007
    for creator in document["creationInfo"]["creators"]:
        kind = creator.startswith(("Tool: ", "Organization: ", "Person: "))
        yield kind, f"{creator!r} must be a tool, an organization or a person"
    refs = [package["SPDXID"] for package in document["packages"]]
    yield len(refs) == len(set(refs)), "two packages have one identifier"
    for package in document["packages"]:
        ref = package["SPDXID"]
        yield bool(_ID.fullmatch(ref)), f"{ref!r} is not a valid identifier"
        yield bool(package["name"] and package["downloadLocation"]), f"{ref} has no name or no downloadLocation"
        sums = [c["checksumValue"] for c in package.get("checksums", ())]
        yield all(_CHECKSUM.fullmatch(s) for s in sums), f"{ref} has a checksum that is not valid"
    known = {*refs, "SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        both = {relation["spdxElementId"], relation["relatedSpdxElement"]}
        yield both <= known, f"a relationship leads nowhere: {sorted(both - known)}"
    described = any(r["relationshipType"] == "DESCRIBES" for r in document["relationships"])
    yield described, "nothing says what it describes"
