"""What is written is read back whole, and no damage gets past the reader."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput, Missing, OrlopError
from orlop.oci.layer import LayerFile, layer
from orlop.oci.layout import (
    JSON_LIMIT,
    LAYER_GZIP,
    LAYER_ZSTD,
    REF_NAME,
    ImageRun,
    assemble,
    read,
    write,
)

REF = "localhost/test:1"
LAYER = layer([LayerFile("a", b"hello" * 400)])
RUN = ImageRun(entrypoint=("/a",), user="65534", env=(("A", "b c"),), ports=("80/tcp",), labels=(("k", "v"),))

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(assemble([LAYER], RUN, ref=REF), tmp_path)
    return tmp_path


def put(folder: Path, raw: bytes) -> dict[str, Any]:
    """Store a blob; the digest and size a descriptor of it needs."""
    digest = hashlib.sha256(raw).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(raw)
    return {"digest": f"sha256:{digest}", "size": len(raw)}


def blob(folder: Path, at: dict[str, Any]) -> Path:
    return folder / "blobs" / str(at["digest"]).replace(":", "/")


def edit(
    folder: Path, *, index: Change | None = None, manifest: Change | None = None, config: Change | None = None
) -> None:
    """Change documents and make every digest above them right again: only what was changed is wrong."""
    top = json.loads((folder / "index.json").read_bytes())
    doc = json.loads(blob(folder, top["manifests"][0]).read_bytes())
    if config:
        inner = json.loads(blob(folder, doc["config"]).read_bytes())
        config(inner)
        doc["config"].update(put(folder, json.dumps(inner).encode()))
    if manifest:
        manifest(doc)
    top["manifests"][0].update(put(folder, json.dumps(doc).encode()))
    if index:
        index(top)
    (folder / "index.json").write_text(json.dumps(top))


def test_written_and_read(folder: Path) -> None:
    image = read(folder)
    assert image == read(folder, REF)
    assert image.ref == REF
    assert image.config["config"] == {
        "Entrypoint": ["/a"],
        "User": "65534",
        "Env": ["A=b c"],
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"k": "v"},
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
    }
    assert (folder / image.layers[0].blob).read_bytes() == LAYER


@given(st.lists(st.binary(max_size=300), max_size=4), st.text(max_size=20), st.text(max_size=20))
def test_same_inputs_same_bits(layers: list[bytes], word: str, label: str) -> None:
    run = ImageRun(cmd=(word,), labels=((label, word),))
    made = assemble(layers, run, ref=REF)
    assert made == assemble(list(layers), run, ref=REF)
    assert all("sha256:" + hashlib.sha256(raw).hexdigest() == "sha256:" + path[-64:]
               for path, raw in made.items() if path.startswith("blobs/"))  # fmt: skip


@pytest.mark.parametrize("ref", ["", " ", "a b", "-a", "a:", "a//b", "ä", "a\n"])
def test_a_bad_reference_is_refused(ref: str) -> None:
    with pytest.raises(BadInput, match="reference"):
        assemble([LAYER], RUN, ref=ref)


@given(st.data())
def test_no_flipped_byte_changes_what_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flip")
    files = assemble([LAYER], RUN, ref=REF)
    path = data.draw(st.sampled_from(sorted(files)))
    raw = bytearray(files[path])
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    write({**files, path: bytes(raw)}, folder)
    try:
        image = read(folder)
    except OrlopError:
        return
    write(files, folder)
    whole = read(folder)
    assert (image.manifest.digest, image.config, image.layers) == (whole.manifest.digest, whole.config, whole.layers)


def test_every_missing_or_cut_file_is_named(folder: Path) -> None:
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = file.read_bytes()
        file.write_bytes(whole[:-1])
        with pytest.raises(BadInput, match=file.name[:12]):
            read(folder)
        file.unlink()
        with pytest.raises(BadInput, match=f"{file.name}.* is missing"):
            read(folder)
        file.write_bytes(whole)
    assert read(folder).ref == REF


def test_a_link_in_the_place_of_a_blob_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    at = folder / read(folder).layers[0].blob
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "blob"
    at.rename(elsewhere)
    at.symlink_to(elsewhere)
    with pytest.raises(BadInput, match="missing"):
        read(folder)


def _set(*path: str | int, to: object) -> Change:
    def change(doc: dict[str, Any]) -> None:
        at: Any = doc
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": _set("schemaVersion", to=1)}, "not an image index"),
        ({"index": _set("mediaType", to="text/plain")}, "not an image index"),
        ({"index": _set("manifests", to={})}, "'manifests' is not a list"),
        ({"index": _set("manifests", 0, to="x")}, "descriptor is missing"),
        ({"index": _set("manifests", 0, "mediaType", to="application/vnd.oci.image.index.v1+json")}, "media type"),
        ({"index": _set("manifests", 0, "digest", to="sha256:../../etc")}, "not a sha256 digest"),
        ({"index": _set("manifests", 0, "digest", to="sha512:" + "0" * 128)}, "not a sha256 digest"),
        ({"index": _set("manifests", 0, "size", to=-1)}, "not a size"),
        ({"index": _set("manifests", 0, "size", to=True)}, "not a size"),
        ({"index": _set("manifests", 0, "size", to="7")}, "not a size"),
        ({"index": _set("manifests", 0, "size", to=JSON_LIMIT + 1)}, "are allowed"),
        ({"index": _set("manifests", 0, "annotations", to={"a": 1})}, "annotations"),
        ({"manifest": _set("schemaVersion", to=1)}, "not an image manifest"),
        ({"manifest": _set("config", to=None)}, "descriptor is missing"),
        ({"manifest": _set("layers", to=None)}, "'layers' is not a list"),
        ({"manifest": _set("layers", to=[])}, "names 1 layers, the manifest 0"),
        ({"manifest": _set("layers", 0, "mediaType", to="application/x-tar")}, "media type"),
        ({"config": _set("rootfs", to="x")}, "no rootfs"),
        ({"config": _set("rootfs", "diff_ids", to=["sha256:" + "0" * 64])}, "which the image config names"),
    ],
)
def test_what_is_not_as_the_specification_says_is_refused(
    folder: Path, changes: dict[str, Change], message: str
) -> None:
    edit(folder, **changes)
    with pytest.raises(BadInput, match=message) as caught:
        read(folder)
    assert caught.value.hint


def test_another_layout_version_is_refused(folder: Path) -> None:
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"9"}')
    with pytest.raises(BadInput, match="version '9'"):
        read(folder)


def test_documents_that_are_not_json_objects_are_refused(folder: Path) -> None:
    for raw in (b"", b"[]", b"\xff", b"[" * 100_000, b" " * (JSON_LIMIT + 1)):
        (folder / "index.json").write_bytes(raw)
        with pytest.raises(BadInput, match="JSON object"):
            read(folder)


def test_a_gzipped_layer_is_checked_inside_too(folder: Path) -> None:
    def use(raw: bytes, kind: str = LAYER_GZIP) -> None:
        edit(folder, manifest=_set("layers", 0, to={"mediaType": kind, **put(folder, raw)}))

    use(gzip.compress(LAYER))
    assert read(folder).layers[0].media_type == LAYER_GZIP
    use(b"not read", LAYER_ZSTD)
    assert read(folder).layers[0].media_type == LAYER_ZSTD
    use(gzip.compress(LAYER + b"more"))
    with pytest.raises(BadInput, match="does not unpack to"):
        read(folder)
    for broken in (b"no gzip", gzip.compress(LAYER)[:-9], gzip.compress(LAYER)[:20] + b"\xff" * 60):
        use(broken)
        with pytest.raises(BadInput, match="not gzip"):
            read(folder)


def test_choosing_among_images(folder: Path) -> None:
    top = json.loads((folder / "index.json").read_bytes())
    second = json.loads(json.dumps(top["manifests"][0]))
    second["annotations"][REF_NAME] = "other"
    top["manifests"].append(second)
    (folder / "index.json").write_text(json.dumps(top))
    assert read(folder, "other").ref == "other"
    with pytest.raises(BadInput, match="2 images: localhost/test:1, other"):
        read(folder)
    with pytest.raises(Missing, match="no image called nothing"):
        read(folder, "nothing")


def test_no_folder_there(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        read(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(Missing):
        read(tmp_path / "file")
    with pytest.raises(BadInput, match="oci-layout is missing"):
        read(tmp_path)
