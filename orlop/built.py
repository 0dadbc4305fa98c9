"""Images that were built: the files of one, what its manifest says of it, and which there are.

Why here: whoever builds, boots, simulates or publishes an image must agree on what its folder holds, and on which
images exist. Lifetime: an image is a folder of `.orlop/images` that is named by its version; it appears whole, by one
rename, and goes by one. Its content is never changed.

Invariant: a damaged image hides no other, is named wherever images are listed, is removed like any other, and no image
of its version is built while it is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from orlop.errors import BadInput, Missing
from orlop.files import locked, remove_tree, write_atomic
from orlop.model.contents import contents as contents_model
from orlop.model.contents.contents import ImageContents
from orlop.model.release.index import Index, PartName, decode, file_name, index_name
from orlop.model.words.strict import Wrong
from orlop.model.words.version import Version
from orlop.workspace import Workspace

T = TypeVar("T")

MANIFEST = "manifest.json"
SOURCES = "sources.json"
CONTENTS = "contents.json"
LATEST = "latest"  # a link to the image built last
_GOING = ".removing-"
_LINK_SECONDS = 10  # longer than anybody holds the lock on the link


@dataclass(frozen=True)
class ImageFiles:
    """Where the files of an image are, whether or not they are there: the one list of their names."""

    folder: Path
    version: Version

    def part(self, name: PartName) -> Path:
        return self.folder / file_name(self.version, name)

    @property
    def usr(self) -> Path:
        return self.part("usr")

    @property
    def verity(self) -> Path:
        return self.part("verity")

    @property
    def uki(self) -> Path:
        return self.part("uki")

    @property
    def disk(self) -> Path:
        return self.folder / f"{self.version.usr_label}.raw"

    @property
    def index(self) -> Path:
        return self.folder / index_name(self.version)

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    @property
    def sources(self) -> Path:
        """What it was made of: see `orlop.image.sources`."""
        return self.folder / SOURCES

    @property
    def contents(self) -> Path:
        """What is in it: see `orlop.model.contents`."""
        return self.folder / CONTENTS


@dataclass(frozen=True)
class Manifest:
    """What was written of an image when it was built. A value that is missing is a damaged image: BadInput."""

    folder: Path
    about: Mapping[str, Any]

    @property
    def version(self) -> Version:
        return Version.parse(self.text("version"))

    @property
    def root_hash(self) -> str:
        return self.text("roothash")

    @property
    def inputs(self) -> str:
        """The hash of all that it was made from."""
        return self.text("inputs")

    @property
    def build_id(self) -> str:
        return self.text("build_id")

    @property
    def payload_bytes(self) -> int:
        return self.number("payload_bytes")

    @property
    def packages(self) -> list[tuple[str, str]]:
        """(name, version) of each Debian package that something is left of."""
        return [(str(p["name"]), str(p["version"])) for p in self._value("packages", list)]

    @property
    def sums(self) -> dict[str, str]:
        """File name → SHA-256, hexadecimal, of usr image, verity tree and UKI."""
        return {str(name): str(digest) for name, digest in self._value("sha256", dict).items()}

    def sum_of(self, path: Path) -> str:
        if path.name not in self.sums:
            raise damaged(self.folder, f"its manifest does not say sha256 of {path.name}")
        return self.sums[path.name]

    def text(self, key: str) -> str:
        return self._value(key, str)

    def number(self, key: str) -> int:
        return self._value(key, int)

    def _value(self, key: str, kind: type[T]) -> T:
        value = self.about.get(key)
        if not isinstance(value, kind):
            raise damaged(self.folder, f"its manifest does not say {key}")
        return value


@dataclass(frozen=True)
class BuiltImage:
    """An image in its folder, as `orlop image build` makes it."""

    files: ImageFiles
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> BuiltImage:
        """Raises Missing when there is no image in the folder, and BadInput when it is damaged."""
        manifest = read_manifest(folder)
        return cls(ImageFiles(folder, manifest.version), manifest)

    @property
    def folder(self) -> Path:
        return self.files.folder

    @property
    def version(self) -> Version:
        return self.files.version

    @property
    def root_hash(self) -> str:
        return self.manifest.root_hash

    @cached_property
    def index(self) -> Index:
        """Raises Missing or BadInput."""
        try:
            index = decode(self.files.index.read_bytes())
        except FileNotFoundError:
            raise Missing(f"{self.folder} has no {self.files.index.name}", hint=_AGAIN) from None
        except (OSError, ValueError) as e:
            raise damaged(self.folder, str(e)) from None
        if index.version != self.version or index.root_hash != self.root_hash:
            raise BadInput(f"the index in {self.folder} is another image's", hint=_AGAIN)
        return index

    @cached_property
    def contents(self) -> ImageContents:
        """Raises Missing or BadInput."""
        try:
            contents = contents_model.decode(self.files.contents.read_bytes())
        except FileNotFoundError:
            raise Missing(f"nothing says what is in {self.folder}: it has no {CONTENTS}", hint=_AGAIN) from None
        except (OSError, ValueError, Wrong) as e:
            raise damaged(self.folder, f"{CONTENTS}: {e}") from None
        if contents.version != self.version:
            raise BadInput(f"{CONTENTS} in {self.folder} is another image's", hint=_AGAIN)
        return contents


_AGAIN = "build it again: orlop image build"


def damaged(folder: Path, why: str) -> BadInput:
    return BadInput(
        f"the image in {folder} is damaged: {why}", hint=f"orlop image rm {folder.name}, then orlop image build"
    )


def read_manifest(folder: Path) -> Manifest:
    """Raises Missing when there is no image in the folder, and BadInput when its manifest cannot be read."""
    path = folder / MANIFEST
    try:
        about = json.loads(path.read_text())
    except FileNotFoundError:
        if Version.is_version(folder.name) and folder.is_dir():
            raise damaged(folder, f"it has no {path.name}") from None
        raise Missing(f"there is no image in {folder}: it has no {path.name}", hint="orlop image build") from None
    except (OSError, ValueError) as e:
        raise damaged(folder, f"{path.name} cannot be read ({e})") from None
    if not isinstance(about, dict):
        raise damaged(folder, f"{path.name} does not hold an object")
    return Manifest(folder, about)


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    write_atomic(folder / MANIFEST, json.dumps(about, indent=2) + "\n")


def write_contents(folder: Path, contents: ImageContents) -> None:
    write_atomic(folder / CONTENTS, contents_model.encode(contents).decode())


# which there are


def versions(ws: Workspace) -> list[Version]:
    """Every image that is there, damaged ones too, oldest first."""
    there = ws.images.iterdir() if ws.images.is_dir() else ()
    return sorted(Version.parse(p.name) for p in there if Version.is_version(p.name) and not p.is_symlink())


def latest(ws: Workspace) -> Path | None:
    """The folder of the image built last, or None when there is none, or it has no manifest."""
    link = ws.images / LATEST
    return link.resolve() if (link / MANIFEST).is_file() else None


def find(ws: Workspace, version: str | None) -> Path:
    """The folder of the image `version`, or of the latest. Raises Missing."""
    folder = ws.images / str(Version.parse(version)) if version else latest(ws)
    if folder is None or not folder.is_dir():
        have = ", ".join(map(str, versions(ws))) or "none"
        raise Missing(
            f"there is no image {version}" if version else "no image has been built",
            hint=f"orlop image build (there are: {have})",
        )
    return folder


def point_latest(ws: Workspace, version: Version) -> None:
    """From here on `version` is what is used when no image is named."""
    with locked(ws.state / "latest.lock", "the link to the latest image", wait=_LINK_SECONDS):
        _point(ws, version)


def _point(ws: Workspace, version: Version) -> None:
    fresh = ws.images / f".making-{LATEST}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(str(version))
    os.rename(fresh, ws.images / LATEST)


def remove(ws: Workspace, version: Version) -> None:
    """Remove an image; `latest` then points to the newest that is left. Raises Missing.

    An image that is being built is not there yet, so nobody has to wait for that.
    """
    folder = find(ws, str(version))
    going = folder.with_name(f"{_GOING}{version}")
    with locked(ws.state / "latest.lock", "the link to the latest image", wait=_LINK_SECONDS):
        remove_tree(going)  # what an interrupted removal left
        os.rename(folder, going)
        left = [v for v in versions(ws) if (ws.images / str(v) / MANIFEST).is_file()]
        if left:
            _point(ws, left[-1])
        else:
            (ws.images / LATEST).unlink(missing_ok=True)
    remove_tree(going)
