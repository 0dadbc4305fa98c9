"""An OCI image layout (image-spec v1.1): put one together as pure bytes, write it, read it back checked.

    oci-layout          the layout's version
    index.json          which manifests are here, by reference name
    blobs/sha256/HEX    manifest, config, layers: every blob under the hash of what it holds

Invariant: `read` returns only what it has verified: every digest, size and media type from the index down to the
layers' uncompressed contents. Whatever follows may trust it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from orlop.errors import BadInput, Missing
from orlop.model.words.arch import BUILT

LAYOUT_VERSION = "1.0.0"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
_LAYERS = (LAYER_TAR, LAYER_GZIP, LAYER_ZSTD)
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"  # `ctr image import` takes the name from here

JSON_LIMIT = 4 * 1024 * 1024  # bytes; the spec's limit for a manifest, here for all documents
_CHUNK = 1024 * 1024
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_REF = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+]|--|/)[A-Za-z0-9]+)*")  # the spec's grammar of a reference name
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class ImageRun:
    """How a container of the image starts: the fields of the image config, by the field's names."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    working_dir: str = "/"
    ports: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Descriptor:
    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def blob(self) -> str:
        """Where the blob is, relative to the layout."""
        return "blobs/" + self.digest.replace(":", "/")

    def json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**out, "annotations": dict(self.annotations)} if self.annotations else out


@dataclass(frozen=True)
class OciImage:
    """A verified image: `config` is the parsed image config, `manifest.digest` names the image."""

    ref: str
    manifest: Descriptor
    config: Mapping[str, Any]
    layers: tuple[Descriptor, ...]


def assemble(layers: Sequence[bytes], run: ImageRun, *, ref: str, architecture: str = BUILT.debian) -> dict[str, bytes]:
    """The whole layout as {path: content}. `layers` are uncompressed tars, the lowest first. Raises BadInput."""
    if not _REF.fullmatch(ref):
        raise BadInput(f"{ref!r} is not an image reference name", hint="write it as localhost/NAME:TAG")
    config = {
        "created": _EPOCH,
        "architecture": architecture,
        "os": "linux",
        "config": _run_json(run),
        "rootfs": {"type": "layers", "diff_ids": [_digest(raw) for raw in layers]},
    }
    blobs: dict[str, bytes] = {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _store(blobs, CONFIG, _json(config)).json(),
        "layers": [_store(blobs, LAYER_TAR, raw).json() for raw in layers],
    }
    top = _store(blobs, MANIFEST, _json(manifest), {REF_NAME: ref, CONTAINERD_NAME: ref}).json()
    top["platform"] = {"architecture": architecture, "os": "linux"}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}
    return {**blobs, "index.json": _json(index), "oci-layout": _json({"imageLayoutVersion": LAYOUT_VERSION})}


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write an assembled layout into `folder`, the index last. Wrap it in `files.made_beside` to have it whole."""
    for path in sorted(files, key=lambda p: (p == "index.json", p)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(files[path])


def read(path: Path, ref: str | None = None) -> OciImage:
    """The image called `ref` in the layout at `path` (the only one, when no name is given), everything verified.

    Raises Missing (no such folder, no such image) or BadInput (not a layout, or damaged: says which blob and how).
    """
    if not path.is_dir():
        raise Missing(f"{path} is not there, or is not a folder", hint="an OCI layout is a folder with an index.json")
    layout = _top_document(path, "oci-layout")
    if layout.get("imageLayoutVersion") != LAYOUT_VERSION:
        raise _bad(path, f"layout version {layout.get('imageLayoutVersion')!r} is not {LAYOUT_VERSION}")
    manifest = _choose(path, _top_document(path, "index.json"), ref)
    doc = _json_blob(path, manifest)
    if doc.get("schemaVersion") != 2 or doc.get("mediaType", MANIFEST) != MANIFEST:
        raise _bad(path, f"{manifest.digest} is not an image manifest")
    config_at = _descriptor(path, doc.get("config"), (CONFIG,))
    config = _json_blob(path, config_at)
    layers = tuple(_descriptor(path, item, _LAYERS) for item in _list(path, doc, "layers"))
    _check_layers(path, config, layers)
    return OciImage(manifest.annotations.get(REF_NAME, ""), manifest, config, layers)


# --- writing


def _run_json(run: ImageRun) -> dict[str, Any]:
    out: dict[str, Any] = {
        "User": run.user,
        "ExposedPorts": {port: {} for port in run.ports},
        "Env": [f"{name}={value}" for name, value in run.env],
        "Entrypoint": list(run.entrypoint),
        "Cmd": list(run.cmd),
        "WorkingDir": run.working_dir,
        "Labels": dict(run.labels),
        "StopSignal": run.stop_signal,
    }
    return {name: value for name, value in out.items() if value}


def _store(
    blobs: dict[str, bytes], media_type: str, raw: bytes, annotations: Mapping[str, str] | None = None
) -> Descriptor:
    descriptor = Descriptor(media_type, _digest(raw), len(raw), annotations or {})
    blobs[descriptor.blob] = raw
    return descriptor


def _digest(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def _json(value: Mapping[str, Any]) -> bytes:
    """One spelling for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# --- reading


def _bad(path: Path, what: str) -> BadInput:
    return BadInput(f"{path}: {what}", hint="the image is damaged or not an OCI layout: make or copy it anew")


def _choose(path: Path, index: Mapping[str, Any], ref: str | None) -> Descriptor:
    if index.get("schemaVersion") != 2 or index.get("mediaType", INDEX) != INDEX:
        raise _bad(path, "index.json is not an image index")
    manifests = [_descriptor(path, item, (MANIFEST,)) for item in _list(path, index, "manifests")]
    if ref is not None:
        manifests = [d for d in manifests if d.annotations.get(REF_NAME) == ref]
    if not manifests:
        raise Missing(f"{path} holds no image" + (f" called {ref}" if ref else ""), hint="see its index.json")
    if len(manifests) > 1:
        names = ", ".join(sorted(d.annotations.get(REF_NAME, d.digest) for d in manifests))
        raise BadInput(f"{path} holds {len(manifests)} images: {names}", hint="say which one")
    return manifests[0]


def _descriptor(path: Path, value: object, allowed: Sequence[str]) -> Descriptor:
    if not isinstance(value, dict):
        raise _bad(path, "a descriptor is missing")
    kind, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(kind, str) or kind not in allowed:
        raise _bad(path, f"media type {kind!r} where {' or '.join(allowed)} belongs")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise _bad(path, f"{digest!r} is not a sha256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _bad(path, f"{digest}: {size!r} is not a size in bytes")
    notes = value.get("annotations", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise _bad(path, f"{digest}: its annotations are not texts")
    return Descriptor(kind, digest, size, notes)


def _list(path: Path, doc: Mapping[str, Any], name: str) -> list[object]:
    value = doc.get(name)
    if not isinstance(value, list):
        raise _bad(path, f"{name!r} is not a list")
    return value


def _top_document(path: Path, name: str) -> dict[str, Any]:
    try:
        with (path / name).open("rb") as f:
            return _parse(path, name, f.read(JSON_LIMIT + 1))
    except (FileNotFoundError, IsADirectoryError):
        raise _bad(path, f"{name} is missing") from None


def _json_blob(path: Path, at: Descriptor) -> dict[str, Any]:
    if at.size > JSON_LIMIT:
        raise _bad(path, f"{at.digest}: a document of {at.size} bytes; {JSON_LIMIT} are allowed")
    with _open_blob(path, at) as f:
        raw = f.read(JSON_LIMIT + 1)
    _same(path, at, _digest(raw))
    return _parse(path, at.digest, raw)


def _parse(path: Path, what: str, raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw) if len(raw) <= JSON_LIMIT else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _bad(path, f"{what} is not a JSON object of at most {JSON_LIMIT} bytes")
    return value


def _open_blob(path: Path, at: Descriptor) -> IO[bytes]:
    """Open the blob when it is a plain file of the size that was promised."""
    file = path / at.blob
    if file.is_symlink() or not file.is_file():
        raise _bad(path, f"blob {at.digest} is missing")
    size = file.stat().st_size
    if size != at.size:
        raise _bad(path, f"blob {at.digest} has {size} bytes, not {at.size}")
    return file.open("rb")


def _same(path: Path, at: Descriptor, digest: str) -> None:
    if digest != at.digest:
        raise _bad(path, f"blob {at.digest} does not have that digest")


def _hash(read_some: Callable[[int], bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := read_some(_CHUNK):
        digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def _check_layers(path: Path, config: Mapping[str, Any], layers: Sequence[Descriptor]) -> None:
    """Every layer as promised, and its contents as the config names them (a zstd layer: the blob alone)."""
    rootfs = config.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type") != "layers":
        raise _bad(path, "the image config has no rootfs")
    ids = _list(path, rootfs, "diff_ids")
    if len(ids) != len(layers):
        raise _bad(path, f"the image config names {len(ids)} layers, the manifest {len(layers)}")
    for at, want in zip(layers, ids, strict=True):
        with _open_blob(path, at) as f:
            _same(path, at, _hash(f.read))
        if at.media_type == LAYER_TAR and at.digest != want:
            raise _bad(path, f"layer {at.digest} is not {want}, which the image config names")
        if at.media_type == LAYER_GZIP and _hash_unzipped(path, at) != want:
            raise _bad(path, f"layer {at.digest} does not unpack to {want}, which the image config names")


def _hash_unzipped(path: Path, at: Descriptor) -> str:
    try:
        with gzip.open(path / at.blob, "rb") as f:
            return _hash(f.read)
    except (OSError, EOFError, zlib.error) as e:
        raise _bad(path, f"layer {at.digest} is not gzip: {e}") from None
