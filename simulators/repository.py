"""A TUF repository in memory, its own keys included, that serves what its test tells it to.

Metadata is kept as objects, so that an attack is a change to an object followed by `publish`, signed with the keys that
the attacker has. What is served is real bytes through the interface of a `MetadataFetch`, and every request is noted.

    repo = Repository()
    repo.targets_of("stable")["stable/x"] = b"…"
    repo.publish("stable", "snapshot", "timestamp")
    repo.fetch("timestamp.json", 16384)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from orlop.net.errors import Unreachable
from orlop.trust.errors import Refused

START = datetime(2026, 12, 1, 12, tzinfo=UTC)
TOP = ("root", "timestamp", "snapshot", "targets")


class RepositorySimulator:
    """`files` is what is served; `requests` what was asked for, in order. `signers` are the current keys by role."""

    def __init__(self, roles: tuple[str, ...] = ("alpha", "beta", "stable"), root_keys: int = 1, threshold: int = 1):
        expires = START + timedelta(days=30)
        self.signers = {role: [CryptoSigner.generate_ed25519()] for role in (*TOP, *roles)}
        self.signers["root"] = [CryptoSigner.generate_ed25519() for _ in range(root_keys)]
        self.root = Root(version=1, expires=expires, consistent_snapshot=True)
        self.timestamp = Timestamp(version=1, expires=expires)
        self.snapshot = Snapshot(version=1, expires=expires)
        self.targets = Targets(version=1, expires=expires)
        self.delegated = {role: Targets(version=1, expires=expires) for role in roles}
        self.contents: dict[str, bytes] = {}
        self.hashes = False
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.instead: dict[str, Callable[[str, int], bytes | None]] = {}
        for role in TOP:
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        self.root.roles["root"].threshold = threshold
        for role in roles:
            self.delegate("targets", role, [f"{role}/*"])
        self.publish("root", "targets", *roles, "snapshot", "timestamp", bump=False)

    @property
    def first_root(self) -> bytes:
        return self.files["1.root.json"]

    def signed(self, role: str) -> Signed:
        top: dict[str, Signed] = {
            "root": self.root, "timestamp": self.timestamp, "snapshot": self.snapshot, "targets": self.targets,
        }  # fmt: skip
        return top[role] if role in top else self.delegated[role]

    def targets_of(self, role: str) -> Targets:
        return self.targets if role == "targets" else self.delegated[role]

    def delegate(self, delegator: str, role: str, paths: list[str], *, terminating: bool = False) -> None:
        """Let `delegator` trust the role's current key for the paths; the role is made when it is not there."""
        self.signers.setdefault(role, [CryptoSigner.generate_ed25519()])
        self.delegated.setdefault(role, Targets(version=1, expires=START + timedelta(days=30)))
        by = self.targets_of(delegator)
        if by.delegations is None:
            by.delegations = Delegations({}, roles={})
        assert by.delegations.roles is not None
        by.delegations.roles[role] = DelegatedRole(role, [], 1, terminating, paths)
        for signer in self.signers[role]:
            by.add_key(signer.public_key, role)

    def rotate(self, role: str, *, delegator: str = "root") -> list[CryptoSigner]:
        """New keys for the role; returns the old ones. What delegates to it is changed and not yet published."""
        old = self.signers[role]
        by = self.root if delegator == "root" else self.targets_of(delegator)
        for signer in old:
            by.revoke_key(signer.public_key.keyid, role)
        self.signers[role] = [CryptoSigner.generate_ed25519() for _ in old]
        for signer in self.signers[role]:
            by.add_key(signer.public_key, role)
        return old

    def add_target(self, role: str, path: str, data: bytes) -> None:
        self.targets_of(role).targets[path] = TargetFile.from_data(path, data, ["sha256"])
        self.contents[path] = data
        info = self.targets_of(role).targets[path]
        folder, slash, name = path.rpartition("/")
        self.files[f"targets/{folder}{slash}{info.hashes['sha256']}.{name}"] = data

    def publish(self, *roles: str, bump: bool = True, also_by: dict[str, list[CryptoSigner]] | None = None) -> None:
        """Sign and serve the roles in this order. Snapshot and timestamp take up what is served by then."""
        for role in roles:
            signed = self.signed(role)
            if bump:
                signed.version += 1
            if role == "snapshot":
                for name in ("targets", *self.delegated):
                    self.snapshot.meta[f"{name}.json"] = self._meta(name)
            if role == "timestamp":
                self.timestamp.snapshot_meta = self._meta("snapshot")
            self.put(role, self.sign(role, [*self.signers[role], *(also_by or {}).get(role, [])]))

    def _meta(self, role: str) -> MetaFile:
        version = self.signed(role).version
        if not self.hashes:
            return MetaFile(version)
        return MetaFile.from_data(version, self.files[f"{version}.{quote(role, safe='')}.json"], ["sha256"])

    def sign(self, role: str, signers: list[CryptoSigner]) -> bytes:
        metadata: Metadata[Signed] = Metadata(self.signed(role))  # type: ignore[type-var]
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(JSONSerializer(compact=True))

    def put(self, role: str, raw: bytes) -> None:
        name = quote(role, safe="")
        version = self.signed(role).version
        self.files["timestamp.json" if role == "timestamp" else f"{version}.{name}.json"] = raw

    def fetch(self, path: str, most: int) -> bytes | None:
        self.requests.append(path)
        if path in self.instead:
            return self.instead[path](path, most)
        found = self.files.get(path, self.files.get(unquote(path)))
        if found is not None and len(found) > most:
            raise Refused(f"{path} is longer than the {most} bytes it may have")
        return found

    def targets_fetch(self, path: str, most: int) -> bytes | None:
        return self.fetch(f"targets/{path}", most)

    def whole(self, path: str, most: int) -> bytes | None:
        """Under the names that a release repository has."""
        return self.fetch(path.removeprefix("metadata/"), most)

    def asked(self) -> list[str]:
        """What was requested since this was asked last."""
        found, self.requests = self.requests, []
        return found


def unreachable(path: str, most: int) -> bytes | None:
    raise Unreachable(f"{path}: nobody answers ({most})")
