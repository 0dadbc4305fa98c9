"""What is in an image, as an SPDX 2.3 document: one package for the image, and each Debian package it contains.

Source: the SPDX specification 2.3 (JSON), and purl for `pkg:deb`. Licences are not in an image's manifest and are said
to be unknown (NOASSERTION), not guessed. The same image always gives the same document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from orlop.errors import BadInput
from orlop.model.version import Version

_ID = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
IMAGE = "SPDXRef-image"
NONE = "NOASSERTION"


def spdx(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The document for an image's manifest. Raises BadInput when the manifest lacks what it needs."""
    try:
        version, roothash = Version.parse(manifest["version"]), str(manifest["roothash"])
        packages = sorted((str(p["name"]), str(p["version"])) for p in manifest["packages"])
        usr = str(manifest["sha256"][f"{version.usr_label}.usr.raw"])
    except (KeyError, TypeError) as e:
        raise BadInput(f"the image's manifest does not say {e}", hint="build it again: orlop image build") from None
    image = _package(IMAGE, "orlop", str(version)) | {
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "checksums": [{"algorithm": "SHA256", "checksumValue": usr}],
    }
    parts = [_package(_ref(name), name, number) | _purl(name, number) for name, number in packages]
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
        "packages": [image, *parts],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE),
            *(_relation(IMAGE, "CONTAINS", p["SPDXID"]) for p in parts),
        ],
    }
    validate(document)
    return document


def encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def _package(ref: str, name: str, version: str) -> dict[str, Any]:
    return {
        "SPDXID": ref, "name": name, "versionInfo": version, "downloadLocation": NONE, "filesAnalyzed": False,
        "licenseConcluded": NONE, "licenseDeclared": NONE, "copyrightText": NONE,
    }  # fmt: skip


def _purl(name: str, version: str) -> dict[str, Any]:
    locator = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}"
    return {
        "supplier": "Organization: Debian",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
        ],
    }


def _ref(name: str) -> str:
    return "SPDXRef-deb-" + name.replace("+", "-plus")


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
    yield ":" in namespace and "#" not in namespace, "its namespace is no absolute URI without a fragment"
    datetime.strptime(document["creationInfo"]["created"], _STAMP)  # noqa: DTZ007
    for creator in document["creationInfo"]["creators"]:
        kind = creator.startswith(("Tool: ", "Organization: ", "Person: "))
        yield kind, f"{creator!r} is no tool, organization or person"
    refs = [package["SPDXID"] for package in document["packages"]]
    yield len(refs) == len(set(refs)), "two packages have one identifier"
    for package in document["packages"]:
        ref = package["SPDXID"]
        yield bool(_ID.fullmatch(ref)), f"{ref!r} is no identifier"
        yield bool(package["name"] and package["downloadLocation"]), f"{ref} has no name or no downloadLocation"
        sums = [c["checksumValue"] for c in package.get("checksums", ())]
        yield all(_CHECKSUM.fullmatch(s) for s in sums), f"{ref} has a checksum that is none"
    known = {*refs, "SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        both = {relation["spdxElementId"], relation["relatedSpdxElement"]}
        yield both <= known, f"a relationship leads nowhere: {sorted(both - known)}"
    described = any(r["relationshipType"] == "DESCRIBES" for r in document["relationships"])
    yield described, "nothing says what it describes"
