"""A member's log as it is before its first start: what a write-ahead log and a raft snapshot say of a cluster of one.

Records of the log are protobuf messages, each behind its length (filled up to 8 bytes, how much is in the length's
highest byte), each with a checksum that goes on from that of the record before. Pure.

Source: etcd 3.5: walpb.Record, raftpb, snappb, and the JSON of its old v2 store, of which a snapshot's data is one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from typing import Any

TERM = INDEX = 1  # of the one entry that there is: that the member belongs to the cluster
WAL_FILE = f"{0:016x}-{0:016x}.wal"
SNAPSHOT_FILE = f"{TERM:016x}-{INDEX:016x}.snap"
_METADATA, _ENTRY, _STATE, _CRC, _SNAPSHOT = 1, 2, 3, 4, 5
_CONF_CHANGE = 1  # type of an entry
_HISTORY = 1000  # events that the v2 store has room for


@dataclass(frozen=True)
class Identity:
    """Of the only member of a new cluster. `token` makes both ids: another token, another cluster."""

    name: str
    peer: str
    token: str

    @property
    def member(self) -> int:
        """As etcd makes it."""
        return _number(self.peer.encode() + self.token.encode())

    @property
    def cluster(self) -> int:
        return _number(self.member.to_bytes(8))

    def json(self) -> bytes:
        return _json({"id": self.member, "peerURLs": [self.peer], "name": self.name})


def _number(raw: bytes) -> int:
    return int.from_bytes(sha1(raw, usedforsecurity=False).digest()[:8])


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def wal(who: Identity) -> bytes:
    """The content of WAL_FILE."""
    change = _field(1, 0) + _field(2, 0) + _field(3, who.member) + _field(4, who.json())
    records = (
        (_CRC, None),
        (_METADATA, _field(1, who.member) + _field(2, who.cluster)),
        (_SNAPSHOT, _field(1, 0) + _field(2, 0)),
        (_ENTRY, _field(1, _CONF_CHANGE) + _field(2, TERM) + _field(3, INDEX) + _field(4, change)),
        (_STATE, _field(1, TERM) + _field(2, who.member) + _field(3, INDEX)),
        (_SNAPSHOT, _field(1, INDEX) + _field(2, TERM) + _field(3, _voters(who))),
    )
    out, crc = bytearray(), 0
    for kind, data in records:
        crc = crc32c(data or b"", crc)
        record = _field(1, kind) + _field(2, crc) + (_field(3, data) if data is not None else b"")
        if kind == _CRC:
            crc = 0  # the sum begins anew from what this record says, which is 0 in a new log
        fill = -len(record) % 8
        out += (len(record) | ((0x80 | fill) << 56 if fill else 0)).to_bytes(8, "little") + record + bytes(fill)
    return bytes(out)


def snapshot(who: Identity) -> bytes:
    """The content of SNAPSHOT_FILE."""
    about = _field(1, _voters(who)) + _field(2, INDEX) + _field(3, TERM)
    data = _field(1, _old_store(who)) + _field(2, about)
    return _field(1, crc32c(data)) + _field(2, data)


def voters_json(who: Identity) -> bytes:
    return _json({"voters": [who.member], "auto_leave": False})


def _voters(who: Identity) -> bytes:
    return _field(1, who.member) + _field(5, 0)


def _old_store(who: Identity) -> bytes:
    """etcd 3.5 takes its members from here when it starts."""
    place = f"/0/members/{who.member:x}"
    value = _json({"peerURLs": [who.peer]}).decode()
    leaf = _node(f"{place}/raftAttributes", 1, None, value)
    members = _node("/0/members", 1, {f"{who.member:x}": _node(place, 1, {"raftAttributes": leaf})})
    root = _node("/", 0, {"0": _node("/0", 0, {"members": members}), "1": _node("/1", 0, {})})
    event = {
        "action": "create",
        "node": {"key": leaf["Path"], "value": value, "modifiedIndex": 1, "createdIndex": 1},
    }
    queue = {"Events": [event, *[None] * (_HISTORY - 1)], "Size": 1, "Front": 0, "Back": 1, "Capacity": _HISTORY}
    counts = (
        *("getsSuccess", "getsFail", "setsSuccess", "setsFail", "deleteSuccess", "deleteFail"),
        *("updateSuccess", "updateFail", "createSuccess", "createFail", "compareAndSwapSuccess"),
        *("compareAndSwapFail", "compareAndDeleteSuccess", "compareAndDeleteFail", "expireCount", "watchers"),
    )
    history = {"Queue": queue, "StartIndex": 1, "LastIndex": 1}
    return _json({
        "Root": root, "WatcherHub": {"EventHistory": history}, "CurrentIndex": 1,
        "Stats": {name: int(name == "createSuccess") for name in counts}, "CurrentVersion": 2,
    })  # fmt: skip


def _node(path: str, index: int, children: dict[str, Any] | None, value: str = "") -> dict[str, Any]:
    return {
        "Path": path, "CreatedIndex": index, "ModifiedIndex": index, "ExpireTime": "0001-01-01T00:00:00Z",
        "Value": value, "Children": children,
    }  # fmt: skip


def _field(number: int, value: int | bytes) -> bytes:
    """Of a protobuf message: a varint, or bytes behind their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@cache
def _table() -> tuple[int, ...]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)  # noqa: PLW2901 — a register that is shifted
        table.append(n)
    return tuple(table)


def crc32c(data: bytes, crc: int = 0) -> int:
    """Castagnoli's, which the standard library does not have; `crc` of what came before."""
    table = _table()
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
