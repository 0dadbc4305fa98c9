"""What a release says of its contents: the SBOM, and what changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orlop.control.releases import packages, sbom
from orlop.errors import BadInput
from tests.unit.control.releases.images import PACKAGES, make_image


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((make_image(tmp_path, "20261201.1") / "manifest.json").read_text())
    return found


def test_the_sbom_names_every_package(manifest: dict[str, Any]) -> None:
    document = sbom.spdx(manifest)
    assert sbom.encode(document) == sbom.encode(sbom.spdx(manifest))
    assert packages.of_sbom(json.loads(sbom.encode(document))) == PACKAGES
    assert document["creationInfo"]["created"] == "2026-12-01T00:00:00Z"
    podman = next(p for p in document["packages"] if p["name"] == "podman")
    assert podman["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/podman@5.4.2%2Bds1-2"


def test_a_name_that_spdx_cannot_have_as_an_identifier(manifest: dict[str, Any]) -> None:
    manifest["packages"] = [{"name": "libstdc++6", "version": "14"}]
    assert sbom.spdx(manifest)["packages"][1]["SPDXID"] == "SPDXRef-deb-libstdc-plus-plus6"


WRONG: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("spdxVersion is not SPDX-2.3", lambda d: d.update(spdxVersion="SPDX-3.0")),
    ("'name' is missing", lambda d: d.pop("name")),
    ("no absolute URI", lambda d: d.update(documentNamespace="orlop")),
    ("is missing or of the wrong kind", lambda d: d["creationInfo"].update(created="today")),
    ("is no tool, organization or person", lambda d: d["creationInfo"].update(creators=["me"])),
    ("two packages have one identifier", lambda d: d["packages"].append(d["packages"][0])),
    ("is no identifier", lambda d: d["packages"][0].update(SPDXID="image")),
    ("has no name", lambda d: d["packages"][0].update(name="")),
    ("a checksum that is none", lambda d: d["packages"][0]["checksums"][0].update(checksumValue="1")),
    ("leads nowhere", lambda d: d["packages"].pop()),
    ("nothing says what it describes", lambda d: d["relationships"].pop(0)),
]


@pytest.mark.parametrize(("message", "change"), WRONG, ids=[m for m, _ in WRONG])
def test_what_is_no_spdx_is_refused(message: str, change: Callable[[dict[str, Any]], object], manifest: Any) -> None:
    document = copy.deepcopy(sbom.spdx(manifest))
    change(document)
    with pytest.raises(BadInput, match=message):
        sbom.validate(document)


def test_a_manifest_that_lacks_something() -> None:
    with pytest.raises(BadInput, match="does not say 'roothash'"):
        sbom.spdx({"version": "20261201.1"})


CHANGES = [
    ("1-1", "1-1", None),
    ("", "1-1", "a 1-1 is new"),
    ("1-1", "", "a 1-1 is gone"),
    ("1-1", "1-2", "a 1-1 → 1-2"),
    ("1-1", "1-1+deb13u1", "a 1-1 → 1-1+deb13u1 (stable update)"),
    ("1-1+deb13u1", "1-1+deb13u2", "a 1-1+deb13u1 → 1-1+deb13u2 (stable update)"),
    ("257.8-1~deb13u1", "257.9-1~deb13u1", "a 257.8-1~deb13u1 → 257.9-1~deb13u1"),
    ("257.9-1~deb13u1", "257.9-1~deb13u2", "a 257.9-1~deb13u1 → 257.9-1~deb13u2 (stable update)"),
]


@pytest.mark.parametrize(("old", "new", "said"), CHANGES)
def test_changes_of_packages(old: str, new: str, said: str | None) -> None:
    found = packages.difference({"a": old} if old else {}, {"a": new} if new else {})
    assert [c.said() for c in found] == ([said] if said else [])


def test_notes_begin_with_what_mends_and_stay_short() -> None:
    changes = packages.difference(
        {f"p{n}": "1-1" for n in range(50)}, {f"p{n}": "1-2" if n else "1-1+deb13u1" for n in range(50)}
    )
    text = packages.notes(changes, 300)
    assert text.startswith("p0 1-1 → 1-1+deb13u1 (stable update)\np1 ")
    assert text.endswith("more")
    assert len(text) <= 300
