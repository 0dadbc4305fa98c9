"""Small releases with everything a real one has: a verity tree of the real format, an index, blobs in a folder."""

from __future__ import annotations

import hashlib
import random
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from orlop.model.release.index import BLOCK, PARTS, Blob, Index, Part, PartName, Patch, encode, file_name, index_name
from orlop.model.update.state import Target
from orlop.model.words.version import Version


@dataclass(frozen=True)
class Release:
    index: Index
    usr: bytes
    verity: bytes
    uki: bytes

    @property
    def version(self) -> Version:
        return self.index.version

    @property
    def target(self) -> Target:
        return Target(self.index.version, self.index.root_hash)

    def part(self, name: PartName) -> bytes:
        return {"usr": self.usr, "verity": self.verity, "uki": self.uki}[name]

    def publish(self, folder: Path, *, by_name: bool = False) -> Path:
        """Put the blobs, and the index, where a server would have them."""
        for name in PARTS:
            part = self.part(name)
            path = folder / (file_name(self.version, name) if by_name else self.index.part(name).blob.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part)
        (folder / index_name(self.version)).write_bytes(encode(self.index))
        return folder

    def with_patches(self, *patches: Patch) -> Release:
        return replace(self, index=replace(self.index, patches=patches))


def release(
    version: str, *, blocks: int = 128, uki: int = 20_000, like: Release | None = None, seed: int = 0
) -> Release:
    """Of random content; with `like`, of that release's usr image with some blocks changed and some moved."""
    rng = random.Random(f"{version} {seed}")
    v = Version.parse(version)
    if like is None:
        usr = bytearray(rng.randbytes(blocks * BLOCK))
        usr[3 * BLOCK : 5 * BLOCK] = bytes(2 * BLOCK)
    else:
        usr = bytearray(like.usr[: blocks * BLOCK].ljust(blocks * BLOCK, b"\0"))
        for n in rng.sample(range(blocks), max(1, blocks // 10)):
            usr[n * BLOCK : (n + 1) * BLOCK] = rng.randbytes(BLOCK)
        half = blocks // 2 * BLOCK
        usr[half : half + 8 * BLOCK] = like.usr[:BLOCK] + like.usr[half : half + 7 * BLOCK]
    salt = hashlib.sha256(f"{version} {seed}".encode()).digest()
    tree, root = make_tree(bytes(usr), salt)
    text = f"MZ IMAGE_VERSION={version} usrhash={root} ".encode()
    body = like.uki[len(text) :] if like else rng.randbytes(uki)
    program = (text + body)[:uki].ljust(uki, b"u")
    index = Index(v, root, part(bytes(usr)), part(tree), part(program))
    return Release(index, bytes(usr), tree, program)


def part(raw: bytes) -> Part:
    digests = b"".join(hashlib.sha256(raw[at : at + BLOCK]).digest() for at in range(0, len(raw), BLOCK))
    return Part(Blob(hashlib.sha256(raw).hexdigest(), len(raw)), digests)


def make_tree(data: bytes, salt: bytes) -> tuple[bytes, str]:
    """The verity device over the data, and its root hash, as `veritysetup format` makes them."""
    count = len(data) // BLOCK
    head = struct.pack(
        "<8sII16s32sIIQH6x256s168x",
        b"verity\0\0", 1, 1, bytes(range(16)), b"sha256", BLOCK, BLOCK, count, len(salt), salt,
    )  # fmt: skip
    levels = []
    level = data
    while len(level) > BLOCK:
        hashes = b"".join(hashlib.sha256(salt + level[at : at + BLOCK]).digest() for at in range(0, len(level), BLOCK))
        level = hashes.ljust(-(-len(hashes) // BLOCK) * BLOCK, b"\0")
        levels.append(level)
    return head.ljust(BLOCK, b"\0") + b"".join(reversed(levels)), hashlib.sha256(salt + level).hexdigest()
