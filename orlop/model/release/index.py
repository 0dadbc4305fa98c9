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
from dataclasses import dataclass
from typing import Any, Literal

from orlop.errors import BadInput
from orlop.model.words.strict import Fields, Wrong, is_sha256, parse_json
from orlop.model.words.version import Version

SCHEMA = "orlop.index/1"
BLOCK = 4096
DIGEST = 32
PER_HASH_BLOCK = BLOCK // DIGEST
MAX_INDEX = 32 << 20  # bytes of JSON: an index of 1 GiB has 12 MB
MAX_PART = 4 << 30  # bytes
MAX_PATCHES = 1000
MAX_FRAME = 8 << 20  # bytes of a patch's frame, packed, unpacked, and of what it refers to
HINT = "the release is damaged, or was made by a newer orlop: publish it again, or update this one"

PartName = Literal["usr", "verity", "uki"]
PARTS: tuple[PartName, ...] = ("usr", "verity", "uki")
INDEX_SUFFIX = ".index.json"
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
    """`root_hash` is the verity tree's, hexadecimal; the partitions' UUIDs follow from it. `etcd`: the version of the
    cluster's store that the image carries, "" when it is not said.
    """

    version: Version
    root_hash: str
    usr: Part
    verity: Part
    uki: Part
    patches: tuple[Patch, ...] = ()
    etcd: str = ""

    def part(self, name: PartName) -> Part:
        return {"usr": self.usr, "verity": self.verity, "uki": self.uki}[name]

    @property
    def payload_bytes(self) -> int:
        return self.usr.size + self.verity.size + self.uki.size


def file_name(version: Version, name: PartName) -> str:
    """What the part is called in the folder of a built image."""
    return version.usr_label + _FILES[name]


def index_name(version: Version) -> str:
    return f"{version.usr_label}{INDEX_SUFFIX}"


def indexed(name: str) -> Version | None:
    """The version that an index is of, by the name of its file; None when it is another file's."""
    if not name.endswith(INDEX_SUFFIX):
        return None
    text = name.removesuffix(INDEX_SUFFIX).removeprefix("orlop_")
    return Version.parse(text) if Version.is_version(text) and name == index_name(Version.parse(text)) else None


def verity_blocks(data_blocks: int) -> int:
    """How many 4 KiB blocks the hash tree over so many has, superblock included (dm-verity format 1, SHA-256)."""
    blocks, level = 1, data_blocks
    while level > 1:
        level = -(-level // PER_HASH_BLOCK)
        blocks += level
    return blocks


def encode(index: Index) -> bytes:
    """The index as JSON; the same index always gives the same bytes."""
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "version": str(index.version),
        "root_hash": index.root_hash,
        "block_size": BLOCK,
        "parts": {name: _part_json(index.part(name)) for name in PARTS},
        "patches": [_patch_json(patch) for patch in index.patches],
    }
    if index.etcd:
        about["etcd"] = index.etcd
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
    try:
        return _index(Fields.of("", parse_json(raw, MAX_INDEX)))
    except Wrong as e:
        raise BadInput(f"the image index cannot be used: {e.message}", hint=HINT) from None


def _index(top: Fields) -> Index:
    if (schema := top.value("schema", str)) != SCHEMA:
        raise Wrong(f"its schema is {schema[:80]!r}, this orlop reads {SCHEMA!r}")
    top.number("block_size", BLOCK, BLOCK)
    parts = top.fields("parts")
    usr, verity, uki = (_part(parts.fields(name)) for name in PARTS)
    for name, part in (("usr", usr), ("verity", verity)):
        if part.size % BLOCK:
            raise Wrong(f"parts.{name}.size is {part.size}, must be a multiple of {BLOCK}")
    if verity.blocks != (wanted := verity_blocks(usr.blocks)):
        raise Wrong(f"parts.verity has {verity.blocks} blocks, the tree over usr has {wanted}")
    bare = Index(top.version("version"), top.sha256("root_hash"), usr, verity, uki)
    patches = tuple(_patch(bare, patch) for patch in top.items("patches", MAX_PATCHES))
    etcd = top.line("etcd", 40, empty=True) if top.has("etcd") else ""
    return Index(bare.version, bare.root_hash, usr, verity, uki, patches, etcd)


def _part(fields: Fields) -> Part:
    size = fields.number("size", 1, MAX_PART)
    try:
        # not `b64decode`, which makes a copy before
        digests = a2b_base64(fields.value("blocks", str), strict_mode=True)
    except ValueError:
        raise Wrong(f"{fields.at('blocks')} must be base64") from None
    wanted = -(-size // BLOCK)
    if len(digests) != wanted * DIGEST:
        raise Wrong(f"{fields.at('blocks')} has {len(digests)} bytes of hashes, {size} bytes have {wanted * DIGEST}")
    return Part(Blob(fields.sha256("sha256"), size), digests)


def _patch(index: Index, fields: Fields) -> Patch:
    name = next((p for p in PARTS if p == fields.value("part", str)), None)
    if name is None:
        raise Wrong(f"{fields.at('part')} must be one of {', '.join(PARTS)}")
    base = fields.fields("base")
    blob = Blob(fields.sha256("sha256"), fields.number("size", 0, MAX_PART))
    frames = tuple(
        _frame(row, f"{fields.at('frames')}[{n}]", index.part(name), blob)
        for n, row in enumerate(fields.value("frames", list))
    )
    return Patch(name, base.version("version"), base.sha256("root_hash"), blob, frames)


def _frame(row: object, at: str, part: Part, blob: Blob) -> Frame:
    if not isinstance(row, list) or len(row) < 7 or not all(type(n) is int and n >= 0 for n in row[:6]):
        raise Wrong(f"{at} must be six numbers and a hash")
    if not is_sha256(row[6]):
        raise Wrong(f"{at} must end with a SHA-256")
    frame = Frame(*row[:7])
    if frame.count < 1 or frame.first + frame.count > part.blocks:
        raise Wrong(f"{at} makes blocks {frame.first} to {frame.first + frame.count} of {part.blocks}")
    if frame.size < 1 or frame.offset + frame.size > blob.size:
        raise Wrong(f"{at} ends at {frame.offset + frame.size} of {blob.size} bytes")
    if max(frame.size, frame.count * BLOCK, frame.old_count * BLOCK) > MAX_FRAME:
        raise Wrong(f"{at} needs more than {MAX_FRAME} bytes of memory")
    if (frame.old_first + frame.old_count) * BLOCK > MAX_PART:
        raise Wrong(f"{at} refers to block {frame.old_first + frame.old_count}, beyond any part")
    return frame
