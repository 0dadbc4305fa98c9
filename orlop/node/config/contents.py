"""What a configuration takes from elsewhere, in files of /var: fetched once when a hash pins it, never whole in memory.

A program of 200 MB belongs neither into the kept configuration nor into memory. It lies under a name that follows from
what the configuration says of it; what Ignition is given has a mark in its place, and after Ignition made the file,
with its mode and its owner, the bytes are copied there. Small contents are put inside the configuration (`remote`).

Lifetime: as long as a configuration that was applied names them. Invariant: contents with a hash are used only after
they were compared with it; those without are fetched at every boot, and are here for when the server is away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orlop.files import remove_tree
from orlop.node.config import remote
from orlop.node.config.failure import Failure, StageFailed
from orlop.node.config.rendering import FileView, Rendering, ResourceView

MARK = "data:application/x-orlop-kept,"
SMALL = 1 << 20  # bytes that are put inside the configuration
_LINKS = 40  # of symbolic links that are followed, as in the kernel


@dataclass(frozen=True)
class FileStream:
    """The content of one file, written after Ignition made it. `appends`: what is there stays."""

    path: str
    parts: tuple[ResourceView, ...]
    appends: bool


def name(resource: ResourceView) -> str:
    """What a resource is called here: another one when the configuration says something else of it."""
    return hashlib.sha256(json.dumps(resource.raw, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Contents:
    folder: Path

    def path(self, resource: ResourceView) -> Path:
        return self.folder / name(resource)

    def has(self, resource: ResourceView) -> bool:
        """Whether a pinned resource is here, and is what its hash says."""
        kind, _, value = resource.verification.hash.partition("-")
        if kind not in ("sha256", "sha512"):
            return False
        try:
            with self.path(resource).open("rb") as f:
                return hashlib.file_digest(f, kind).hexdigest() == value.lower()
        except OSError:
            return False

    def wanted(self, config: Rendering) -> list[ResourceView]:
        """What has to be fetched."""
        return [resource for resource in remote.remote(config) if not self.has(resource)]

    def take(self, resource: ResourceView, fetched: Path) -> None:
        """Put a fetched file in its place, on the same file system."""
        with fetched.open("rb") as f:
            os.fsync(f.fileno())
        os.replace(fetched, self.path(resource))

    def size(self, config: Rendering) -> int:
        return sum(self.path(resource).stat().st_size for resource in remote.remote(config))

    def placed(self, config: Rendering) -> Rendering:
        """The configuration, needing no network: small contents inside, and so are keys; a mark for the others."""
        result = config.copy()
        keys = [id(volume.key_file.raw) for volume in result.storage.volumes if volume.key_file.raw]
        for resource in remote.remote(result):
            path = self.path(resource)
            inside = id(resource.raw) in keys or path.stat().st_size <= SMALL
            resource.become(remote.data_url(path.read_bytes()) if inside else MARK + path.name)
        return result

    def forget_others(self, config: Rendering) -> None:
        """Only what this configuration, one that was `placed`, has a mark for stays."""
        marked = {r.url.removeprefix(MARK) for r in remote.resources(config) if _is_marked(r)}
        pinned = self.folder.iterdir() if self.folder.is_dir() else ()
        for path in pinned:
            if path.name not in marked:
                remove_tree(path)

    def write(self, root: Path, streams: Iterable[FileStream]) -> None:
        """Write what Ignition left empty. Raises StageFailed."""
        for stream in streams:
            try:
                with inside(root, stream.path).open("ab" if stream.appends else "wb") as to:
                    for part in stream.parts:
                        self._copy(part, to.fileno())
            except OSError as e:
                reason = f"{stream.path} cannot be written: {e.strerror}"
                raise StageFailed(Failure("files", reason)) from None

    def _copy(self, part: ResourceView, to: int) -> None:
        if not _is_marked(part):
            os.write(to, _inline(part))
            return
        with (self.folder / part.url.removeprefix(MARK)).open("rb") as f, os.fdopen(os.dup(to), "wb") as target:
            shutil.copyfileobj(f, target, SMALL)


def streamed(config: Rendering) -> tuple[Rendering, list[FileStream]]:
    """What Ignition is given of a configuration that was `placed`, and what is written after it."""
    streams = []
    result = config.copy()
    for file in result.storage.files:
        parts = _parts(file)
        if not any(map(_is_marked, parts)):
            continue
        streams.append(FileStream(file.path, parts, appends=not file.has_content))
        file.append = []
        if file.has_content:
            file.contents = ResourceView({"source": "data:,"})
    return result, streams


def _parts(file: FileView) -> tuple[ResourceView, ...]:
    return (*([file.contents] if file.has_content else []), *file.append)


def inside(root: Path, path: str) -> Path:
    """Where a path leads below a root, whose links are links from that root. Raises OSError for a loop."""
    left, at, followed = [part for part in path.split("/") if part], root, 0
    while left:
        part = left.pop(0)
        if part == "..":
            at = at if at == root else at.parent
        elif (here := at / part).is_symlink():
            followed += 1
            if followed > _LINKS:
                raise OSError(40, "too many links", path)
            target = os.readlink(here)
            at = root if target.startswith("/") else at
            left = [*(word for word in target.split("/") if word not in ("", ".")), *left]
        else:
            at = here
    return at


def _is_marked(resource: ResourceView) -> bool:
    return resource.url.startswith(MARK)


def _inline(resource: ResourceView) -> bytes:
    """What a data URL of a configuration holds, unpacked. Source: RFC 2397."""
    head, _, data = (resource.source or "data:,").partition(",")
    raw = urllib.parse.unquote_to_bytes(data)
    raw = base64.b64decode(raw) if head.endswith(";base64") else raw
    if resource.compression == "gzip":
        import gzip  # for the rare configuration that adds compressed text to a large file

        return gzip.decompress(raw)
    return raw
