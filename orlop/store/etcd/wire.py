"""etcd's messages in JSON: base64 for bytes, strings for 64-bit numbers, nothing at all for a zero.

Why typed functions for each request: the gateway ignores a field it does not know, so that a misspelt `value` writes an
empty one and answers 200. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from orlop.store.protocol import Batch, Delete, Expect, KeyChange, Put, StoreEntry, Write

Json = Mapping[str, Any]


def text(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def data(value: bytes) -> str:
    return base64.b64encode(value).decode()


def number(message: Json, name: str) -> int:
    """A 64-bit number, which JSON tells as a string, and which is left out when it is 0."""
    return int(message.get(name) or 0)


def after_prefix(prefix: str) -> str:
    """The end of the range of all keys with this prefix: its last byte one higher; a zero byte is "to the end"."""
    raw = prefix.encode()
    while raw and raw[-1] == 0xFF:
        raw = raw[:-1]
    return base64.b64encode(raw[:-1] + bytes([raw[-1] + 1]) if raw else b"\0").decode()


def range_one(key: str) -> Json:
    return {"key": text(key)}


def range_page(prefix: str, after: str, revision: int, limit: int) -> Json:
    # the first key after one is that key with a zero byte at its end; an empty key cannot be asked for, \0 is the least
    first = f"{after}\0" if after else prefix or "\0"
    return {
        "key": text(first),
        "range_end": after_prefix(prefix),
        "limit": str(limit),
        "revision": str(revision),
    }


def txn(writes: Sequence[Write], expect: Sequence[Expect]) -> Json:
    """When an expectation fails, the answer tells what those keys are now."""
    return {
        "compare": [
            {"key": text(e.key), "target": "MOD", "result": "EQUAL", "mod_revision": str(e.modified)} for e in expect
        ],
        "success": [_write(write) for write in writes],
        "failure": [{"request_range": {"key": text(e.key)}} for e in expect],
    }


def txn_read(keys: Sequence[str]) -> Json:
    """Several keys at one revision."""
    return {"success": [{"request_range": {"key": text(key)}} for key in keys]}


def _write(write: Write) -> Json:
    match write:
        case Put(key, value, lease):
            return {"request_put": {"key": text(key), "value": data(value), "lease": str(lease)}}
        case Delete(key):
            return {"request_delete_range": {"key": text(key)}}


def watch_create(prefix: str, start: int) -> Json:
    """With news of progress: an answer without events, which shows that the other end is alive."""
    return {
        "create_request": {
            "key": text(prefix or "\0"),
            "range_end": after_prefix(prefix),
            "start_revision": str(start),
            "progress_notify": True,
            "fragment": False,
        }
    }


def lease_grant(seconds: int) -> Json:
    return {"TTL": str(seconds)}


def lease_id(lease: int) -> Json:
    return {"ID": str(lease)}


def compaction(revision: int) -> Json:
    return {"revision": str(revision)}


def revision(message: Json) -> int:
    return number(message.get("header") or {}, "revision")


def key(kv: Json) -> str:
    """A key that is no text, which none of ours is, must not stop who reads the others."""
    return base64.b64decode(kv["key"]).decode(errors="replace")


def entry(kv: Json) -> StoreEntry:
    return StoreEntry(
        key=key(kv),
        value=base64.b64decode(kv.get("value") or ""),
        created=number(kv, "create_revision"),
        modified=number(kv, "mod_revision"),
        version=number(kv, "version"),
        lease=number(kv, "lease"),
    )


def entries(message: Json) -> tuple[StoreEntry, ...]:
    return tuple(entry(kv) for kv in message.get("kvs") or ())


def ranges(message: Json) -> list[StoreEntry | None]:
    """What a txn's reads found, one a key, in their order."""
    found = [entries(part.get("response_range") or {}) for part in message.get("responses") or ()]
    return [each[0] if each else None for each in found]


def batches(result: Json) -> list[Batch]:
    """A watch's answer as batches of one revision each; one without changes when it has no events."""
    changes: dict[int, list[KeyChange]] = {}
    for event in result.get("events") or ():
        kv = event["kv"]
        at = number(kv, "mod_revision")
        now = None if event.get("type") == "DELETE" else entry(kv)
        changes.setdefault(at, []).append(KeyChange(key(kv), now))
    if not changes:
        return [Batch(revision(result), ())]
    return [Batch(at, tuple(changes[at])) for at in sorted(changes)]
