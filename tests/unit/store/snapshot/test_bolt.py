"""Files of bbolt: what is written is read again, and whatever the bytes are, reading them ends in words."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orlop.errors import BadInput
from orlop.store.snapshot.bolt import PAGE, BoltFile, checksum, write

Buckets = dict[bytes, dict[bytes, bytes]]
KEYS = st.binary(min_size=1, max_size=40)
BUCKETS = st.dictionaries(KEYS, st.dictionaries(KEYS, st.binary(max_size=6000), max_size=30), max_size=5)


def written(buckets: Buckets) -> bytes:
    out = io.BytesIO()
    write(out, {name: sorted(pairs.items()) for name, pairs in buckets.items()})
    return out.getvalue()


def read(raw: bytes) -> Buckets:
    file = BoltFile(memoryview(raw))
    return {name: {key: bytes(value) for key, value in file.pairs(name)} for name in file.buckets()}


def test_checksum_is_fnv_1a() -> None:
    assert checksum(b"") == 0xCBF29CE484222325
    assert checksum(b"foobar") == 0x85944171F73967E8


@given(buckets=BUCKETS)
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read_again(buckets: Buckets) -> None:
    raw = written(buckets)
    assert len(raw) % PAGE == 0
    assert read(raw) == buckets


def test_tree_of_several_levels_and_a_value_of_many_pages() -> None:
    many = {n.to_bytes(8) + b"_" * 300: b"v" * (n % 50) for n in range(3000)}
    buckets = {b"many": many, b"large": {b"k": bytes(1 << 20)}, b"none": {}}
    assert read(written(buckets)) == buckets


def test_bucket_that_is_not_there_has_nothing() -> None:
    assert list(BoltFile(memoryview(written({}))).pairs(b"a")) == []


@given(data=st.data(), buckets=BUCKETS)
@settings(deadline=None, max_examples=150)
def test_damaged_file_ends_in_words(data: st.DataObject, buckets: Buckets) -> None:
    raw = bytearray(written(buckets))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut])):
        with suppress(BadInput):
            read(damaged)


def test_pages_that_lead_back_to_themselves_are_refused() -> None:
    raw = bytearray(written({b"b": {n.to_bytes(4): bytes(500) for n in range(40)}}))
    branch = next(at for at in range(2 * PAGE, len(raw), PAGE) if raw[at + 8] == 1)
    child = branch + 16 + 8  # of its first element
    raw[child : child + 8] = (branch // PAGE).to_bytes(8, "little")
    with pytest.raises(BadInput, match="two ways lead"):
        read(bytes(raw))


def test_newer_of_the_two_meta_pages_counts_and_one_is_enough() -> None:
    raw = bytearray(written({b"b": {b"k": b"v"}}))
    for at in (0, PAGE):
        damaged = bytearray(raw)
        damaged[at + 40] ^= 1
        assert read(bytes(damaged)) == {b"b": {b"k": b"v"}}
    with pytest.raises(BadInput, match="not a database of etcd"):
        read(bytes(len(raw)))
