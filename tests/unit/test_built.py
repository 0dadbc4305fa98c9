"""Images in their folders: which there are, whole and damaged, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orlop import built
from orlop.errors import BadInput, Missing
from orlop.image import build
from orlop.model.words.version import Version
from orlop.workspace import Workspace

V = Version.parse


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path / "state")


def add_image(ws: Workspace, version: str) -> Path:
    folder = ws.images / version
    folder.mkdir(parents=True)
    (folder / built.MANIFEST).write_text(json.dumps({"version": version, "inputs": "i", "payload_bytes": 3}))
    built.point_latest(ws, V(version))
    return folder


def test_versions_are_sorted_as_versions_and_what_is_half_made_is_not_one(ws: Workspace) -> None:
    for name in ("20261201.10", "20261201.9", "20251201.11"):
        add_image(ws, name)
    (ws.images / ".making-20261201.11-1").mkdir()
    (ws.images / "notes").mkdir()
    assert [str(v) for v in built.versions(ws)] == ["20251201.11", "20261201.9", "20261201.10"]


def test_no_image_says_how_to_make_one(ws: Workspace) -> None:
    with pytest.raises(Missing, match="no image has been built") as e:
        built.find(ws, None)
    assert "orlop image build" in e.value.hint
    add_image(ws, "20261201.1")
    with pytest.raises(Missing, match=r"no image 20261201\.2") as e:
        built.find(ws, "20261201.2")
    assert "20261201.1" in e.value.hint
    with pytest.raises(BadInput):
        built.find(ws, "../..")


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_manifest_is_named(ws: Workspace, content: str) -> None:
    folder = add_image(ws, "20261201.1")
    (folder / "manifest.json").write_text(content)
    with pytest.raises(BadInput, match=r"20261201\.1 is damaged"):
        built.read_manifest(folder)


def test_removing_the_latest_makes_the_one_before_it_latest(ws: Workspace) -> None:
    add_image(ws, "20261201.1")
    add_image(ws, "20261201.2")
    built.remove(ws, V("20261201.2"))
    latest = built.latest(ws)
    assert latest is not None
    assert latest.name == "20261201.1"
    built.remove(ws, V("20261201.1"))
    assert built.latest(ws) is None
    with pytest.raises(Missing):
        built.remove(ws, V("20261201.1"))


def test_a_folder_without_manifest_is_a_damaged_image_and_can_be_removed(ws: Workspace) -> None:
    """As an interrupted removal left it before removals began with a rename."""
    add_image(ws, "20261201.1")
    broken = add_image(ws, "20261201.2")
    (broken / built.MANIFEST).unlink()
    assert [str(v) for v in built.versions(ws)] == ["20261201.1", "20261201.2"]
    assert built.latest(ws) is None
    with pytest.raises(BadInput, match=r"is damaged: it has no manifest\.json") as e:
        built.BuiltImage.read(built.find(ws, "20261201.2"))
    assert e.value.hint.startswith("orlop image rm 20261201.2")
    built.remove(ws, V("20261201.2"))
    assert built.find(ws, None).name == "20261201.1"


def test_the_next_version_passes_over_a_damaged_one(ws: Workspace) -> None:
    today = build.next_version(ws)
    (ws.images / str(today)).mkdir(parents=True)
    assert build.next_version(ws) == Version(today.day, today.number + 1)


def test_what_an_interrupted_removal_left_is_no_image_and_goes_with_the_next(ws: Workspace) -> None:
    add_image(ws, "20261201.1")
    left = ws.images / ".removing-20261201.1"
    left.mkdir()
    (left / "part").write_text("x")
    assert [str(v) for v in built.versions(ws)] == ["20261201.1"]
    built.remove(ws, V("20261201.1"))
    assert not left.exists() and built.versions(ws) == []


@pytest.mark.parametrize("key", ["roothash", "build_id", "sha256", "packages"])
def test_a_manifest_that_lacks_a_value_is_named(ws: Workspace, key: str) -> None:
    manifest = built.read_manifest(add_image(ws, "20261201.1"))
    wanted = {"roothash": "root_hash", "sha256": "sums"}.get(key, key)
    with pytest.raises(BadInput, match=rf"20261201\.1 is damaged: its manifest does not say {key}"):
        getattr(manifest, wanted)


def test_a_folder_that_is_not_an_image_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="there is no image in"):
        built.BuiltImage.read(tmp_path)
