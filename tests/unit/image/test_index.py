from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import Missing
from orlop.image.index import make_index, read_part, write_index
from orlop.model.release.index import BLOCK, PARTS, decode, file_name, verity_blocks
from orlop.model.words.version import Version

VERSION = Version.parse("20261201.1")


@given(st.binary(min_size=1, max_size=3 * BLOCK), st.integers(0, 300))
def test_every_block_of_a_file_is_hashed(tmp_path_factory: pytest.TempPathFactory, tail: bytes, zeros: int) -> None:
    raw = bytes(zeros * BLOCK) + tail
    path = tmp_path_factory.mktemp("part") / "x"
    path.write_bytes(raw)
    part = read_part(path)
    assert part.blob.sha256 == hashlib.sha256(raw).hexdigest()
    assert part.size == len(raw)
    for n in range(part.blocks):
        assert part.digest(n) == hashlib.sha256(raw[n * BLOCK : (n + 1) * BLOCK]).digest()


def test_an_index_is_written_beside_the_artifacts(tmp_path: Path) -> None:
    for name, size in zip(PARTS, (5 * BLOCK, verity_blocks(5) * BLOCK, 777), strict=True):
        (tmp_path / file_name(VERSION, name)).write_bytes(name.encode() * size)
        with (tmp_path / file_name(VERSION, name)).open("r+b") as f:
            f.truncate(size)
    index = make_index(tmp_path, VERSION, "ab" * 32)
    path = write_index(tmp_path, index)
    assert path.name == "orlop_20261201.1.index.json"
    assert decode(path.read_bytes()) == index
    assert index.payload_bytes == 5 * BLOCK + 2 * BLOCK + 777


def test_an_artifact_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no orlop_20261201\.1\.usr\.raw"):
        make_index(tmp_path, VERSION, "ab" * 32)
