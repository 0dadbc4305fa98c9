"""Small images and repositories to test with: real files, real keys, no SDK."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import Signer

from orlop.built import write_contents, write_manifest
from orlop.image.index import make_index, write_index
from orlop.model.contents.contents import Component, File, ImageContents, Source
from orlop.model.release.channel import STANDARD
from orlop.model.release.index import BLOCK, PARTS, file_name, verity_blocks
from orlop.model.words.version import Version
from orlop.publish.keys import keys
from orlop.publish.keys.keys import KeyFile, Keyring
from orlop.publish.repository.repository import Repository, RepositoryState
from orlop.publish.roots import ceremony
from orlop.publish.storage.storage import FolderStorage, Storage, hash_of
from orlop.trust.cache import FolderCache

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
WORDS = "correct horse"
PACKAGES = {"systemd": "257.9-1~deb13u1", "podman": "5.4.2+ds1-2", "openssl": "3.5.1-1+deb13u1"}


def make_image(folder: Path, version: str, changed: int = 0, packages: Mapping[str, str] = PACKAGES) -> Path:
    """The folder of an image of 64 + 2 blocks and a UKI; `changed` blocks of its usr part are this version's own."""
    made = folder / version
    made.mkdir(parents=True)
    base, own = random.Random(1), random.Random(version)
    usr = [base.randbytes(BLOCK) for _ in range(64)]
    for n in range(changed):
        usr[n] = usr[n][:1000] + own.randbytes(100) + usr[n][1100:]
    contents = {"usr": b"".join(usr), "verity": own.randbytes(verity_blocks(64) * BLOCK), "uki": base.randbytes(10_000)}
    v = Version.parse(version)
    for name in PARTS:
        (made / file_name(v, name)).write_bytes(contents[name])
    roothash = hashlib.sha256(version.encode()).hexdigest()
    manifest = {
        "version": version, "roothash": roothash, "payload_bytes": sum(map(len, contents.values())),
        **{f"{name}_bytes": len(contents[name]) for name in PARTS}, "initrd_bytes": 1000,
        "sha256": {file_name(v, name): hash_of(made / file_name(v, name)) for name in PARTS},
        "packages": [{"name": n, "version": p} for n, p in packages.items()],
    }  # fmt: skip
    write_manifest(made, manifest)
    write_contents(made, contents_of(v, packages))
    write_index(made, make_index(made, v, roothash))
    return made


def contents_of(version: Version, packages: Mapping[str, str] = PACKAGES) -> ImageContents:
    """Of an image with these Debian packages, each built from a source of its own name, and with one file."""
    ref = "LicenseRef-own-words"
    components = (
        *(Component("deb", n, p, f"MIT AND {ref}", "amd64", "trixie", Source(n, p)) for n, p in packages.items()),
        Component("own", "orlop", str(version), "Apache-2.0"),
        Component("pypi", "tuf", "7.0.1", "Apache-2.0 OR MIT"),
    )
    files = {f"usr/bin/{name}": File(len(name), hash_text(p), f"deb:{name}") for name, p in packages.items()}
    return ImageContents(version, components, {ref: "As you like."} if packages else {}, files)


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class QuickKeys(Keyring):
    """A keyring whose keys are open already: scrypt takes its time, and these tests sign a lot."""

    def __init__(self) -> None:
        super().__init__([], lambda _: [WORDS])
        self._open: dict[str, Signer] = {}

    def make(self, name: str) -> KeyFile:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
        key = KeyFile(name, public, box=b"open")
        self.add(key)
        self._open[key.keyid] = keys._Unlocked(key, private)
        return key

    def signer(self, key: KeyFile) -> Signer:
        return self._open[key.keyid]


@dataclass
class Publisher:
    """A repository in `folder`/repo with its keys in memory."""

    folder: Path
    keyring: QuickKeys = field(default_factory=QuickKeys)
    now: datetime = NOW

    def __post_init__(self) -> None:
        ring = self.keyring
        self.roots = [ring.make(f"root-{n}") for n in (1, 2, 3)]
        self.online = {role: [ring.make(role)] for role in ("targets", "snapshot", "timestamp")}
        self.channels = {name: ring.make(name) for name in STANDARD}
        self.draft = ceremony.first({"root": self.roots, **self.online}, 2, self.now)
        ceremony.sign(self.draft, ring)
        self.given = ceremony.encode(self.draft)
        self.storage: Storage = FolderStorage(self.folder / "repo")
        self.repository = Repository(self.storage, ring, self.given, FolderCache(self.folder / "memory"))

    def create(self) -> RepositoryState:
        return ceremony.create(self.repository, self.draft, self.channels, self.now)

    def next_root(self) -> ceremony.Draft:
        return ceremony.following(ceremony.published(self.storage, self.repository.load().root), self.now)
