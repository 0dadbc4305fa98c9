"""etcd's messages: what is left out is zero, numbers are strings, keys are base64."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orlop.store.etcd import wire
from orlop.store.protocol import Batch, Delete, Expect, KeyChange, Put, StoreEntry

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@given(prefix=KEYS, key=KEYS)
def test_a_range_has_the_keys_of_its_prefix_and_no_others(prefix: str, key: str) -> None:
    end = base64.b64decode(wire.after_prefix(prefix))
    assert (prefix.encode() <= key.encode() < end) == key.startswith(prefix)


def test_the_range_of_all_keys_has_no_end() -> None:
    asked = wire.range_page("", "", 0, 10)
    assert (asked["key"], asked["range_end"]) == (b64("\0"), b64("\0"))


def test_a_page_begins_right_after_a_key() -> None:
    assert wire.range_page("/a/", "/a/x", 7, 10) == {
        "key": b64("/a/x\0"), "range_end": b64("/a0"), "limit": "10", "revision": "7",
    }  # fmt: skip


def test_a_commit_names_fields_as_the_gateway_knows_them() -> None:
    made = wire.txn([Put("a", b"1", 9), Delete("b")], [Expect("a", 5), Expect("c", 0)])
    assert made == {
        "compare": [
            {"key": b64("a"), "target": "MOD", "result": "EQUAL", "mod_revision": "5"},
            {"key": b64("c"), "target": "MOD", "result": "EQUAL", "mod_revision": "0"},
        ],
        "success": [
            {"request_put": {"key": b64("a"), "value": b64("1"), "lease": "9"}},
            {"request_delete_range": {"key": b64("b")}},
        ],
        "failure": [{"request_range": {"key": b64("a")}}, {"request_range": {"key": b64("c")}}],
    }


def kv(key: str, **numbers: int) -> dict[str, Any]:
    """As the gateway tells it: a number that is zero is left out, and so is an empty value."""
    return {"key": b64(key)} | {name: str(number) for name, number in numbers.items() if number}


@given(key=KEYS, created=st.integers(0), modified=st.integers(0), version=st.integers(0), lease=st.integers(0))
def test_what_is_left_out_is_zero(key: str, created: int, modified: int, version: int, lease: int) -> None:
    told = kv(key, create_revision=created, mod_revision=modified, version=version, lease=lease)
    assert wire.entry(told) == StoreEntry(key, b"", created, modified, version, lease)


def test_a_watch_is_told_by_revision() -> None:
    put = {"kv": kv("a", mod_revision=3, create_revision=3, version=1)}
    gone = {"type": "DELETE", "kv": kv("b", mod_revision=3)}
    later = {"kv": kv("a", mod_revision=4, create_revision=3, version=2)}
    assert wire.batches({"header": {"revision": "9"}, "events": [put, gone, later]}) == [
        Batch(3, (KeyChange("a", StoreEntry("a", b"", 3, 3, 1)), KeyChange("b", None))),
        Batch(4, (KeyChange("a", StoreEntry("a", b"", 3, 4, 2)),)),
    ]
    assert wire.batches({"header": {"revision": "9"}}) == [Batch(9, ())]


def test_reads_of_a_commit_that_failed() -> None:
    found = {"responses": [{"response_range": {"kvs": [kv("a", mod_revision=3)]}}, {"response_range": {}}]}
    assert wire.ranges(found) == [StoreEntry("a", b"", 0, 3, 0), None]
    assert wire.ranges({}) == []
