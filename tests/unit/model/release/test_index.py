from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.model.release.index import (
    BLOCK,
    MAX_FRAME,
    MAX_INDEX,
    Blob,
    Frame,
    Index,
    Part,
    Patch,
    decode,
    encode,
    indexed,
    verity_blocks,
)
from orlop.model.words.version import Version


def part(size: int, seed: bytes = b"") -> Part:
    digests = b"".join(hashlib.sha256(seed + bytes([n % 251])).digest() for n in range(-(-size // BLOCK)))
    return Part(Blob(hashlib.sha256(seed).hexdigest(), size), digests)


def make(blocks: int = 3, uki: int = 5000, patches: tuple[Patch, ...] = ()) -> Index:
    version = Version.parse("20261201.2")
    return Index(version, "ab" * 32, part(blocks * BLOCK), part(verity_blocks(blocks) * BLOCK), part(uki), patches)


PATCH = Patch(
    "usr", Version.parse("20261201.1"), "cd" * 32, Blob("ef" * 32, 700), (Frame(1, 2, 0, 3, 100, 600, "12" * 32),)
)


@given(st.integers(1, 1000), st.integers(1, 20_000), st.booleans(), st.sampled_from(["", "3.5.16-4"]))
def test_what_is_written_is_read_back(blocks: int, uki: int, patched: bool, etcd: str) -> None:
    index = replace(make(blocks + 2, uki, (PATCH,) if patched else ()), etcd=etcd)
    assert decode(encode(index)) == index
    assert encode(decode(encode(index))) == encode(index)


def test_what_a_later_orlop_adds_is_ignored() -> None:
    about = json.loads(encode(make()))
    about["later"] = {"more": 1}
    about["parts"]["usr"]["more"] = []
    assert decode(json.dumps(about).encode()) == make()


@pytest.mark.parametrize(
    ("data", "tree"), [(1, 1), (2, 2), (128, 2), (129, 4), (16384, 130), (16385, 133), (23498, 188)]
)
def test_the_size_of_a_verity_tree(data: int, tree: int) -> None:
    assert verity_blocks(data) == tree


def test_the_last_block_may_be_short() -> None:
    uki = make(uki=BLOCK + 1).uki
    assert (uki.blocks, uki.size) == (2, BLOCK + 1)


def change(path: str, value: Any) -> bytes:
    about = json.loads(encode(make(patches=(PATCH,))))
    *keys, last = [int(k) if k.isdigit() else k for k in path.split(".")]
    at = about
    for key in keys:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return json.dumps(about).encode()


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("schema", "orlop.index/2", "its schema is 'orlop.index/2'"),
        ("schema", None, "schema is missing"),
        ("version", "20261301.1", "version is '20261301.1', must be a version"),
        ("version", 20261201.1, "version must be text"),
        ("root_hash", "AB" * 32, "root_hash must be a SHA-256"),
        ("root_hash", "ab" * 31, "root_hash must be a SHA-256"),
        ("block_size", 512, "block_size is 512"),
        ("parts", [], "parts must be an object"),
        ("parts.uki", None, "parts.uki is missing"),
        ("parts.usr.size", True, "parts.usr.size must be a whole number"),
        ("parts.usr.size", -1, "parts.usr.size is -1"),
        ("parts.usr.size", 1 << 40, "parts.usr.size is 1099511627776"),
        ("parts.usr.size", 3 * BLOCK - 1, "must be a multiple of 4096"),
        ("parts.usr.size", 4 * BLOCK, "has 96 bytes of hashes"),
        ("parts.usr.blocks", "!!", "parts.usr.blocks must be base64"),
        ("parts.uki.size", 0, "parts.uki.size is 0, must be 1 to"),
        ("patches.0.part", "var", "patches[0].part must be one of usr, verity, uki"),
        ("patches.0.base", 7, "patches[0].base must be an object"),
        ("patches.0.frames.0", [1, 2, 0, 3, 100, 600], "patches[0].frames[0] must be six numbers"),
        ("patches.0.frames.0", [1, 2, 0, 3, 100, 600, "x"], "must end with a SHA-256"),
        ("patches.0.frames.0", [1, 3, 0, 3, 100, 600, "12" * 32], "makes blocks 1 to 4 of 3"),
        ("patches.0.frames.0", [1, 0, 0, 3, 100, 600, "12" * 32], "makes blocks"),
        ("patches.0.frames.0", [1, 2, 0, 3, 100, 601, "12" * 32], "ends at 701 of 700"),
        ("patches.0.frames.0", [1, 2, 0, MAX_FRAME // BLOCK + 1, 100, 600, "12" * 32], "bytes of memory"),
        ("patches.0.frames.0", [1, 2, 1 << 20, 1, 100, 600, "12" * 32], "beyond any part"),
    ],
)
def test_what_is_wrong_is_refused_by_name(path: str, value: Any, what: str) -> None:
    with pytest.raises(BadInput) as e:
        decode(change(path, value))
    assert what in e.value.message


def test_a_verity_tree_of_another_size_is_refused() -> None:
    about = json.loads(encode(make(3)))
    about["parts"]["verity"] = json.loads(encode(make(300)))["parts"]["verity"]
    with pytest.raises(BadInput, match="the tree over usr has 2"):
        decode(json.dumps(about).encode())


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[" * 100_000, b"null", b"[]", b"{}", b" " * (MAX_INDEX + 1)])
def test_what_is_no_index_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput, match="cannot be used"):
        decode(raw)


@given(st.data())
def test_damage_is_refused_or_harmless_never_a_crash(data: st.DataObject) -> None:
    raw = bytearray(encode(make(patches=(PATCH,))))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadInput):
        assert isinstance(decode(bytes(raw)), Index)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("orlop_20261201.2.index.json", "20261201.2"),
        ("orlop_20261201.2.usr.raw", None),
        ("20261201.2.index.json", None),
        ("orlop_20261301.2.index.json", None),
        ("orlop_orlop_20261201.2.index.json", None),
        ("orlop_.index.json", None),
    ],
)
def test_an_index_is_told_by_the_name_of_its_file(name: str, version: str | None) -> None:
    assert indexed(name) == (version and Version.parse(version))
