"""What a release says of its contents: the SBOM, and what changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orlop.built import BuiltImage, write_contents
from orlop.errors import BadInput, Missing
from orlop.model.contents import packages
from orlop.model.contents.contents import Component, Source
from orlop.publish.content import sbom
from simulators.outside import spdx_trouble
from simulators.publisher import PACKAGES, make_image


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    return BuiltImage.read(make_image(tmp_path, "20261201.1"))


def test_the_sbom_names_every_component(image: BuiltImage) -> None:
    document = sbom.spdx(image)
    assert sbom.encode(document) == sbom.encode(sbom.spdx(image))
    assert packages.of_sbom(json.loads(sbom.encode(document))) == {**PACKAGES, "tuf (PyPI)": "7.0.1"}
    assert packages.of_sbom(document) == packages.of_contents(image.contents)
    assert document["creationInfo"]["created"] == "2026-12-01T00:00:00Z"
    podman = next(p for p in document["packages"] if p["name"] == "podman")
    locator = podman["externalRefs"][0]["referenceLocator"]
    assert locator == "pkg:deb/debian/podman@5.4.2%2Bds1-2?arch=amd64&distro=trixie"
    assert podman["licenseDeclared"] == "MIT AND LicenseRef-own-words"
    assert podman["sourceInfo"] == "built from the source package podman 5.4.2+ds1-2"
    assert document["hasExtractedLicensingInfos"][0]["extractedText"] == "As you like."


def with_component(image: BuiltImage, component: Component) -> BuiltImage:
    contents = replace(image.contents, components=(*image.contents.components, component))
    write_contents(image.folder, contents)
    return BuiltImage.read(image.folder)


def test_names_that_spdx_cannot_have_as_identifiers(image: BuiltImage) -> None:
    built_from = (Source("gcc", "1:14~rc1+x"), Source("rust", "1-2"))
    component = Component("deb", "libstdc++6", "14", "MIT", "amd64", "trixie", Source("gcc-14", "14"), built_from)
    document = sbom.spdx(with_component(image, component))
    made = {p["SPDXID"]: p for p in document["packages"]}
    assert "SPDXRef-deb-libstdc-plus-plus6" in made
    assert "SPDXRef-source-gcc-1-colon14-tilderc1-plusx" in made
    locator = made["SPDXRef-source-rust-1-2"]["externalRefs"][0]["referenceLocator"]
    assert locator == "pkg:deb/debian/rust@1-2?arch=source&distro=trixie"
    assert {"spdxElementId": "SPDXRef-deb-libstdc-plus-plus6", "relationshipType": "GENERATED_FROM",
            "relatedSpdxElement": "SPDXRef-source-rust-1-2"} in document["relationships"]  # fmt: skip
    assert "rust" not in packages.of_sbom(document), "it is not in the image"


def test_an_outside_validator_finds_nothing(image: BuiltImage, tmp_path: Path) -> None:
    source = Source("golang-1.24", "1.24.4-1")
    component = Component("deb", "podman2", "5+b1", "MIT", "amd64", "trixie", Source("podman", "5"), (source,))
    path = tmp_path / "sbom.spdx.json"
    path.write_bytes(sbom.encode(sbom.spdx(with_component(image, component))))
    assert spdx_trouble(path) == ""


def test_the_outside_validator_is_not_blind(image: BuiltImage, tmp_path: Path) -> None:
    document = sbom.spdx(image)
    document["packages"][1]["licenseDeclared"] = "As you like"
    path = tmp_path / "sbom.spdx.json"
    path.write_bytes(sbom.encode(document))
    assert "As you like" in spdx_trouble(path)


WRONG: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("spdxVersion is not SPDX-2.3", lambda d: d.update(spdxVersion="SPDX-3.0")),
    ("'name' is missing", lambda d: d.pop("name")),
    ("must be an absolute URI", lambda d: d.update(documentNamespace="orlop")),
    ("is missing or of the wrong kind", lambda d: d["creationInfo"].update(created="today")),
    ("must be a tool, an organization or a person", lambda d: d["creationInfo"].update(creators=["me"])),
    ("two packages have one identifier", lambda d: d["packages"].append(d["packages"][0])),
    ("is not a valid identifier", lambda d: d["packages"][0].update(SPDXID="image")),
    ("has no name", lambda d: d["packages"][0].update(name="")),
    ("a checksum that is not valid", lambda d: d["packages"][0]["checksums"][0].update(checksumValue="1")),
    ("leads nowhere", lambda d: d["packages"].pop()),
    ("nothing says what it describes", lambda d: d["relationships"].pop(0)),
]


@pytest.mark.parametrize(("message", "change"), WRONG, ids=[m for m, _ in WRONG])
def test_what_is_no_spdx_is_refused(
    message: str, change: Callable[[dict[str, Any]], object], image: BuiltImage
) -> None:
    document = copy.deepcopy(sbom.spdx(image))
    change(document)
    with pytest.raises(BadInput, match=message):
        sbom.validate(document)


def test_an_image_that_lacks_something(image: BuiltImage) -> None:
    (image.folder / "manifest.json").write_text('{"version": "20261201.1"}')
    with pytest.raises(BadInput, match="does not say roothash"):
        sbom.spdx(BuiltImage.read(image.folder))
    image.files.contents.write_text("{}")
    with pytest.raises(BadInput, match=r"is damaged: contents\.json: schema is missing"):
        sbom.spdx(BuiltImage.read(image.folder))
    image.files.contents.unlink()
    with pytest.raises(Missing, match="nothing says what is in"):
        sbom.spdx(BuiltImage.read(image.folder))
