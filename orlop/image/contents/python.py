"""The Python packages from PyPI that go into the machine's private Python: their licences, by their own metadata."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orlop.image import runtime
from orlop.image.contents.licences import Licence, of_metadata
from orlop.model.contents.contents import Component


@dataclass(frozen=True)
class PythonPackage:
    """`texts`: the licences' texts by file name: those that its metadata name, and those of what it has of others."""

    component: Component
    licence: Licence
    texts: Mapping[str, str]


def third_party() -> list[PythonPackage]:
    """Those of the builder's own environment that go into an image. Raises Missing."""
    return [_package(name, folder) for name, folder in runtime.third_party().items()]


def _package(name: str, folder: Path) -> PythonPackage:
    metadata = importlib.metadata.metadata(name)
    version = importlib.metadata.version(name)
    declared = {Path(path).name: path for path in metadata.get_all("License-File") or ()}
    about = next(folder.parent.glob(f"{name}-{version}.dist-info"), folder)
    # beside the metadata before PEP 639, in a folder of their own since
    texts_at = about / "licenses" if (about / "licenses").is_dir() else about
    texts = {key: (texts_at / path).read_text(encoding="utf-8") for key, path in sorted(declared.items())}
    vendored = {}
    for path in sorted(folder.rglob("LICENSE*")):
        place = path.relative_to(folder)
        vendored["-".join((*place.parent.parts, place.name))] = path.read_text(encoding="utf-8")
    (expression,) = metadata.get_all("License-Expression") or metadata.get_all("License") or [""]
    licence = of_metadata(expression, texts.values(), vendored.values(), name)
    return PythonPackage(Component("pypi", name, version, licence.expression), licence, {**texts, **vendored})
