"""Patches against the real zstd: what a machine makes from the old blocks and a frame are the new blocks."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from orlop.built import BuiltImage
from orlop.image.index import make_index
from orlop.model.release.index import BLOCK, MAX_FRAME, Index, Patch, decode, encode, file_name, verity_blocks
from orlop.model.release.rollout import PLANS
from orlop.model.words.version import Version
from orlop.publish.content import patches, publish
from orlop.publish.content.publish import Publication
from orlop.publish.repository.audit import audit
from orlop.publish.repository.repository import StorageFetch
from orlop.sdk.run import in_sdk, sdk_run
from orlop.sdk.tree import ensure
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.publisher import Publisher, make_image

pytestmark = pytest.mark.sdk
WINDOW = "16MiB"  # what a machine's decoder allows


@pytest.fixture(scope="module")
def ws() -> Workspace:
    found = Workspace.find()
    ensure(found, Steps(quiet=True))
    return found


def index(folder: Path, version: str, usr: bytes) -> Index:
    """The index of an image in the folder whose usr part is this."""
    v = Version.parse(version)
    folder.mkdir()
    (folder / file_name(v, "usr")).write_bytes(usr)
    (folder / file_name(v, "verity")).write_bytes(bytes(verity_blocks(len(usr) // BLOCK) * BLOCK))
    (folder / file_name(v, "uki")).write_bytes(b"uki")
    return make_index(folder, v, hashlib.sha256(usr).hexdigest())


def applied(ws: Workspace, patch: Patch, blob: Path, old: Path, new: Index, work: Path) -> dict[int, bytes]:
    """The blocks of the new part that the patch makes, by number, each compared with the index."""
    made: dict[int, bytes] = {}
    raw, before = blob.read_bytes(), old.read_bytes()
    for frame in patch.frames:
        packed = raw[frame.offset : frame.offset + frame.size]
        assert hashlib.sha256(packed).hexdigest() == frame.sha256
        assert max(frame.size, frame.count * BLOCK, frame.old_count * BLOCK) <= MAX_FRAME
        (work / "packed.zst").write_bytes(packed)
        (work / "before").write_bytes(before[frame.old_first * BLOCK : (frame.old_first + frame.old_count) * BLOCK])
        options = ["-q", "-d", "-f", f"--memory={WINDOW}", f"--patch-from={work / 'before'}"]
        sdk_run(ws, ["zstd", *options, work / "packed.zst", "-o", work / "made"], what="unpacking", binds=[work])
        found = (work / "made").read_bytes()
        for n in range(frame.count):
            block = found[n * BLOCK : (n + 1) * BLOCK]
            assert hashlib.sha256(block).digest() == new.part(patch.part).digest(frame.first + n)
            made[frame.first + n] = block
    return made


def content(seed: int, blocks: int) -> bytes:
    return random.Random(seed).randbytes(blocks * BLOCK)


OLD = content(1, 3000)
CASES = {
    "a few bytes in some blocks": OLD[:40_000] + b"changed" + OLD[40_007:9_000_000] + b"too" + OLD[9_000_003:],
    "moved by whole blocks, and a change": content(2, 5) + OLD[: 4_000_000] + b"!" + OLD[4_000_001 : -5 * BLOCK],
    "moved by a few bytes": b"shift" + OLD[:-5],
    "grown": OLD + OLD[-BLOCK:-1] + b"!",
    "shrunk": OLD[: 1500 * BLOCK - 1] + b"!",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_patch_makes_what_is_missing(ws: Workspace, name: str, tmp_path: Path) -> None:
    old, new = index(tmp_path / "old", "20261201.1", OLD), index(tmp_path / "new", "20261202.1", CASES[name])
    old_file, new_file = (next(f.glob("*.usr.raw")) for f in (tmp_path / "old", tmp_path / "new"))
    zstd = in_sdk(ws, ["zstd"], binds=[tmp_path])
    patch = patches.make_patch("usr", new.usr, new_file, old, old_file, tmp_path / "blob", zstd)
    assert patch is not None
    had = patches.blocks_of(old)
    missing = {n for n in range(new.usr.blocks) if new.usr.digest(n) not in had}
    made = applied(ws, patch, tmp_path / "blob", old_file, new, tmp_path)
    strange = {n for n in missing if n not in made}
    assert len(strange) * BLOCK <= 6 * BLOCK  # what is new in itself is fetched as it is
    assert patch.blob.size < 0.2 * len(missing) * BLOCK + 6 * BLOCK
    assert decode(encode(replace(new, patches=(patch,)))).patches == (patch,)


def test_the_same_image_needs_no_patch(tmp_path: Path) -> None:
    old, new = index(tmp_path / "old", "20261201.1", OLD), index(tmp_path / "new", "20261202.1", OLD)
    files = [next(f.glob("*.usr.raw")) for f in (tmp_path / "new", tmp_path / "old")]
    assert patches.make_patch("usr", new.usr, files[0], old, files[1], tmp_path / "blob", ["/none"]) is None


def test_another_image_altogether_needs_none_either(ws: Workspace, tmp_path: Path) -> None:
    """Nothing would be saved by a patch, so there is none, and the blocks are fetched as they are."""
    old = index(tmp_path / "old", "20261201.1", OLD)
    new = index(tmp_path / "new", "20261202.1", content(9, 1200))
    files = [next(f.glob("*.usr.raw")) for f in (tmp_path / "new", tmp_path / "old")]
    zstd = in_sdk(ws, ["zstd"], binds=[tmp_path])
    assert patches.make_patch("usr", new.usr, files[0], old, files[1], tmp_path / "blob", zstd) is None


def test_a_release_is_published_with_patches_from_its_predecessors(ws: Workspace, tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    publisher.create()
    zstd = in_sdk(ws, ["zstd"], binds=[tmp_path])
    (tmp_path / "work").mkdir()
    raw = b""
    for n in range(1, 6):
        built = BuiltImage.read(make_image(tmp_path / "images", f"2026120{n}.1", changed=n))
        state = publisher.repository.load()
        wish = Publication("alpha", PLANS["default"][0], predecessors=3)
        plan = publish.plan(
            publisher.storage, state, built, wish, tmp_path / "work", zstd, Steps(quiet=True), publisher.now
        )
        publisher.repository.commit(state, plan.change, publisher.now)
        (raw,) = plan.change.indexes["alpha"].values()
    found = decode(raw)
    assert [str(p.base) for p in found.patches] == ["20261202.1", "20261203.1", "20261204.1"]
    usr = tmp_path / "images/20261204.1" / file_name(Version.parse("20261204.1"), "usr")
    assert found.patches[-1].base_root_hash == BuiltImage.read(usr.parent).index.root_hash
    blob = tmp_path / "repo" / found.patches[-1].blob.path
    assert set(applied(ws, found.patches[-1], blob, usr, found, tmp_path)) == {0, 1, 2, 3, 4}
    fetch, storage = StorageFetch(publisher.storage), publisher.storage
    assert all(f.good for f in audit(fetch, storage, publisher.given, publisher.now, bytes_too=True))
