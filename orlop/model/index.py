"""The index of an image: all a machine must know to make a version from what it has and what it can fetch.

An index names three parts — the usr image, its verity tree, the UKI — and gives the SHA-256 of each 4 KiB block of
each. Blocks are the unit of trust: a machine may take one from its own disk, a patch or any server, and counts it only
when its hash is the index's. Whoever is given an index has checked its signature already (it is a TUF target); the
blobs themselves are fetched by anybody from anywhere.

Invariant: an `Index` is whole and consistent. Sizes fit the block lists, the verity tree has the size that the usr
image asks for, patches lie within their parts, and nothing in it can make a machine allocate more than `MAX_FRAME`.
What an older machine does not know it ignores; a change it must not ignore takes a new `SCHEMA`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from orlop.errors import BadInput
from orlop.model.version import Version

SCHEMA = "orlop.index/1"
BLOCK = 4096
DIGEST = 32
PER_HASH_BLOCK = BLOCK // DIGEST
MAX_INDEX = 32 << 20  # bytes of JSON: an index of 1 GiB has 12 MB
MAX_PART = 4 << 30  # bytes
MAX_FRAME = 8 << 20  # bytes of a patch's frame, packed, unpacked, and of what it refers to
HINT = "the release is damaged, or was made by a newer orlop: publish it again, or update this one"

T = TypeVar("T")
PartName = Literal["usr", "verity", "uki"]
PARTS: tuple[PartName, ...] = ("usr", "verity", "uki")
_FILES: dict[PartName, str] = {"usr": ".usr.raw", "verity": ".usr-verity.raw", "uki": ".efi"}


@dataclass(frozen=True)
class Blob:
    """Bytes that are named by what they are: `sha256` in hexadecimal, `size` in bytes."""

    sha256: str
    size: int

    @property
    def path(self) -> str:
        """Where a release repository has it, relative to its top."""
        return f"blobs/{self.sha256}"


@dataclass(frozen=True)
class Part:
    """`digests` is the SHA-256 of each block, one after the other; only the last block may be short."""

    blob: Blob
    digests: bytes

    @property
    def size(self) -> int:
        return self.blob.size

    @property
    def blocks(self) -> int:
        return len(self.digests) // DIGEST

    def digest(self, block: int) -> bytes:
        return self.digests[block * DIGEST : (block + 1) * DIGEST]

    def size_of(self, block: int) -> int:
        return min(BLOCK, self.size - block * BLOCK)


@dataclass(frozen=True)
class Frame:
    """One zstd frame of a patch: blocks `first`..+`count` of the new part, packed in `size` bytes at `offset` of the
    patch's blob, with blocks `old_first`..+`old_count` of the old part as what it refers to. `sha256` is the frame's.
    """

    first: int
    count: int
    old_first: int
    old_count: int
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Patch:
    """A cheaper way to some blocks of `part` for a machine that runs the version `base`, known by its root hash."""

    part: PartName
    base: Version
    base_root_hash: str
    blob: Blob
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class Index:
    """`root_hash` is the verity tree's, hexadecimal; the partitions' UUIDs follow from it."""

    version: Version
    root_hash: str
    usr: Part
    verity: Part
    uki: Part
    patches: tuple[Patch, ...] = ()

    def part(self, name: PartName) -> Part:
        return {"usr": self.usr, "verity": self.verity, "uki": self.uki}[name]

    @property
    def payload_bytes(self) -> int:
        return self.usr.size + self.verity.size + self.uki.size


def file_name(version: Version, name: PartName) -> str:
    """What the part is called in the folder of a built image."""
    return version.usr_label + _FILES[name]


def index_name(version: Version) -> str:
    return f"{version.usr_label}.index.json"


def verity_blocks(data_blocks: int) -> int:
    """How many 4 KiB blocks the hash tree over so many has, superblock included (dm-verity format 1, SHA-256)."""
    blocks, level = 1, data_blocks
    while level > 1:
        level = -(-level // PER_HASH_BLOCK)
        blocks += level
    return blocks


def encode(index: Index) -> bytes:
    """The index as JSON; the same index always gives the same bytes."""
    about = {
        "schema": SCHEMA,
        "version": str(index.version),
        "root_hash": index.root_hash,
        "block_size": BLOCK,
        "parts": {name: _part_json(index.part(name)) for name in PARTS},
        "patches": [_patch_json(patch) for patch in index.patches],
    }
    return json.dumps(about, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _part_json(part: Part) -> dict[str, Any]:
    return {"sha256": part.blob.sha256, "size": part.size, "blocks": b64encode(part.digests).decode()}


def _patch_json(patch: Patch) -> dict[str, Any]:
    return {
        "part": patch.part,
        "base": {"version": str(patch.base), "root_hash": patch.base_root_hash},
        "sha256": patch.blob.sha256,
        "size": patch.blob.size,
        "frames": [[f.first, f.count, f.old_first, f.old_count, f.offset, f.size, f.sha256] for f in patch.frames],
    }


def decode(raw: bytes) -> Index:
    """Read an index. Raises BadInput, naming the place, unless every rule of this module holds."""
    if len(raw) > MAX_INDEX:
        raise _bad(f"it has {len(raw)} bytes, at most {MAX_INDEX} are read")
    try:
        about = json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise _bad(f"it is no JSON ({e})") from None
    top = _Fields("", about)
    if (schema := top.text("schema")) != SCHEMA:
        raise _bad(f"its schema is {schema!r}, this orlop reads {SCHEMA!r}")
    if (size := top.number("block_size", BLOCK)) != BLOCK:
        raise _bad(f"block_size is {size}, must be {BLOCK}")
    parts = top.fields("parts")
    usr, verity, uki = (_part(parts.fields(name)) for name in PARTS)
    for name, part in (("usr", usr), ("verity", verity)):
        if part.size % BLOCK:
            raise _bad(f"parts.{name}.size is {part.size}, no multiple of {BLOCK}")
    if verity.blocks != (wanted := verity_blocks(usr.blocks)):
        raise _bad(f"parts.verity has {verity.blocks} blocks, the tree over usr has {wanted}")
    bare = Index(Version.parse(top.text("version")), top.sha256("root_hash"), usr, verity, uki)
    patches = tuple(_patch(bare, top.item("patches", n)) for n in range(top.count("patches")))
    return Index(bare.version, bare.root_hash, usr, verity, uki, patches)


def _part(fields: _Fields) -> Part:
    size = fields.number("size", MAX_PART)
    try:
        digests = a2b_base64(fields.text("blocks"), strict_mode=True)  # not `b64decode`, which makes a copy before
    except ValueError:
        raise _bad(f"{fields.at('blocks')} is no base64") from None
    wanted = -(-size // BLOCK)
    if size < 1 or len(digests) != wanted * DIGEST:
        raise _bad(f"{fields.at('blocks')} has {len(digests)} bytes of hashes, {size} bytes have {wanted * DIGEST}")
    return Part(Blob(fields.sha256("sha256"), size), digests)


def _patch(index: Index, fields: _Fields) -> Patch:
    name = next((p for p in PARTS if p == fields.text("part")), None)
    if name is None:
        raise _bad(f"{fields.at('part')} is none of {', '.join(PARTS)}")
    base = fields.fields("base")
    blob = Blob(fields.sha256("sha256"), fields.number("size", MAX_PART))
    frames = tuple(
        _frame(fields.value("frames", list)[n], f"{fields.at('frames')}[{n}]", index.part(name), blob)
        for n in range(fields.count("frames"))
    )
    return Patch(name, Version.parse(base.text("version")), base.sha256("root_hash"), blob, frames)


def _frame(row: object, at: str, part: Part, blob: Blob) -> Frame:
    if not isinstance(row, list) or len(row) < 7 or not all(type(n) is int and n >= 0 for n in row[:6]):
        raise _bad(f"{at} is no list of six numbers and a hash")
    if not _is_sha256(row[6]):
        raise _bad(f"{at} ends with no SHA-256")
    frame = Frame(*row[:7])
    if frame.count < 1 or frame.first + frame.count > part.blocks:
        raise _bad(f"{at} makes blocks {frame.first} to {frame.first + frame.count} of {part.blocks}")
    if frame.size < 1 or frame.offset + frame.size > blob.size:
        raise _bad(f"{at} ends at {frame.offset + frame.size} of {blob.size} bytes")
    if max(frame.size, frame.count * BLOCK, frame.old_count * BLOCK) > MAX_FRAME:
        raise _bad(f"{at} needs more than {MAX_FRAME} bytes of memory")
    if (frame.old_first + frame.old_count) * BLOCK > MAX_PART:
        raise _bad(f"{at} refers to block {frame.old_first + frame.old_count}, beyond any part")
    return frame


@dataclass(frozen=True)
class _Fields:
    """An object of the JSON text, and where it stands in it."""

    place: str
    values: object

    def at(self, key: str) -> str:
        return f"{self.place}.{key}".lstrip(".")

    def value(self, key: str, kind: type[T]) -> T:
        values = self.values
        if not isinstance(values, Mapping):
            raise _bad(f"{self.place or 'it'} is no object")
        found = values.get(key)
        if type(found) is not kind:
            raise _bad(f"{self.at(key)} is {'missing' if found is None else f'no {_KINDS[kind]}'}")
        return found

    def text(self, key: str) -> str:
        return self.value(key, str)

    def number(self, key: str, most: int) -> int:
        found = self.value(key, int)
        if not 0 <= found <= most:
            raise _bad(f"{self.at(key)} is {found}, must be 0 to {most}")
        return found

    def sha256(self, key: str) -> str:
        if not _is_sha256(found := self.text(key)):
            raise _bad(f"{self.at(key)} is no SHA-256 of 64 small hexadecimal digits")
        return found

    def fields(self, key: str) -> _Fields:
        return _Fields(self.at(key), self.value(key, dict))

    def count(self, key: str) -> int:
        return len(self.value(key, list))

    def item(self, key: str, n: int) -> _Fields:
        return _Fields(f"{self.at(key)}[{n}]", self.value(key, list)[n])


_KINDS: dict[type, str] = {str: "text", int: "whole number", dict: "object", list: "list"}


def _is_sha256(found: object) -> bool:
    return isinstance(found, str) and len(found) == 64 and not set(found) - set("0123456789abcdef")


def _bad(what: str) -> BadInput:
    return BadInput(f"the image index cannot be used: {what}", hint=HINT)
