"""What a snapshot is taken for: whole or not, whose, how far."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.store.snapshot import bolt, contents
from orlop.store.snapshot.contents import SnapshotContents, revision_key


def change(key: bytes, value: bytes) -> bytes:
    return (
        b"\x0a"
        + bytes([len(key)])
        + key
        + b"\x10\x02\x18\x03"
        + (b"\x2a" + bytes([len(value)]) + value if value else b"")
    )


def snapshot(changes: dict[bytes, bytes]) -> bytes:
    out = io.BytesIO()
    bolt.write(out, {b"key": sorted(changes.items()), b"meta": []})
    return out.getvalue() + hashlib.sha256(out.getvalue()).digest()


def read(path: Path, raw: bytes, *wanted: str) -> SnapshotContents:
    path.write_bytes(raw)
    with path.open("rb") as f, contents.opened(f, "it") as database:
        return contents.read(database, wanted)


def test_key_has_what_its_last_change_says(tmp_path: Path) -> None:
    raw = snapshot({
        revision_key(2): change(b"/a", b"old"), revision_key(3): change(b"/a", b"new"),
        revision_key(4): change(b"/b", b"x"),
        revision_key(5) + b"t": change(b"/b", b""), revision_key(6): change(b"/c", b""),
    })  # fmt: skip
    assert read(tmp_path / "f", raw, "/a", "/b", "/c", "/d") == SnapshotContents(6, 5, {"/a": "new", "/c": ""})


@pytest.mark.parametrize("at", [0, 100, 5000, -1])
def test_one_bit_is_noticed(tmp_path: Path, at: int) -> None:
    raw = bytearray(snapshot({revision_key(2): change(b"/a", b"x")}))
    raw[at] ^= 1
    with pytest.raises(BadInput, match="it is not a whole snapshot of etcd: the hash"):
        read(tmp_path / "f", bytes(raw))


@pytest.mark.parametrize("raw", [b"", b"junk", bytes(100_000), b"\xff" * 70_000])
def test_something_else_is_refused(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BadInput, match="snapshot of etcd"):
        read(tmp_path / "f", raw)


@pytest.mark.parametrize(
    "changes",
    [
        {b"short": b""},
        {revision_key(2): b"\x0a\xff"},
        {revision_key(2): b"\x0b"},
        {revision_key(2): b"\x80" * 12},
        {revision_key(2)[:8] + b"-" + bytes(8): b""},
    ],
)
def test_change_that_is_none_is_damage(tmp_path: Path, changes: dict[bytes, bytes]) -> None:
    with pytest.raises(BadInput, match="it is not a whole snapshot of etcd: it has a change"):
        read(tmp_path / "f", snapshot(changes))


def test_database_without_its_buckets_is_none(tmp_path: Path) -> None:
    out = io.BytesIO()
    bolt.write(out, {b"meta": []})
    with pytest.raises(BadInput, match="no bucket key"):
        read(tmp_path / "f", out.getvalue() + hashlib.sha256(out.getvalue()).digest())
