"""Where a publisher keeps a release repository, and how its commands open it.

    release/
      repo/          what is served: metadata, targets, blobs
      storage        in its place, when the repository is elsewhere: its s3:// address
      keys/          keys of the online roles and the channels; never served
      root-keys/     root keys, until they are taken away to where they belong
      root.json      the first root: goes into images, and to whoever wants to verify
      root.draft.json  the next root, while it travels to those who sign it
      memory/        what this publisher has seen of the repository, so that a rollback of it is noticed

Lifetime: one `Home` a command. A passphrase is asked for when something is signed, and again only for a key that none
of those said before opens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from orlop.errors import BadInput, Missing
from orlop.net.s3 import Credentials
from orlop.publish.keys.keys import Keyring
from orlop.publish.repository.repository import Repository
from orlop.publish.roots import ceremony
from orlop.publish.storage.s3 import S3Storage
from orlop.publish.storage.storage import FolderStorage, Storage
from orlop.trust.cache import FolderCache
from orlop.trust.errors import Refused

PASSPHRASE_FILE = "ORLOP_PASSPHRASE_FILE"  # noqa: S105  # noqa: S105 — a name in the environment

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="ORLOP_RELEASE", help="The publisher's folder.", show_default=True)
]
KeysOption = Annotated[
    list[Path] | None, typer.Option("--keys", help="A further folder of keys, say of a stick; may be repeated.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what machines will do, and change nothing.")]
DEFAULT = Path("release")


@dataclass(frozen=True)
class Home:
    folder: Path
    more_keys: Sequence[Path] = field(default_factory=tuple)

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def root_keys(self) -> Path:
        return self.folder / "root-keys"

    @property
    def root(self) -> Path:
        return self.folder / "root.json"

    @property
    def draft(self) -> Path:
        return self.folder / "root.draft.json"

    @property
    def address(self) -> Path:
        return self.folder / "storage"

    @cached_property
    def storage(self) -> Storage:
        """One for all that a command does: a storage knows whether its lock is held."""
        if self.address.exists():
            return S3Storage(self._address(), Credentials.find())
        return FolderStorage(self.repo)

    def _address(self) -> str:
        try:
            return self.address.read_text().strip()
        except ValueError:
            raise BadInput(
                f"{self.address} is damaged: it is not text",
                hint="it holds the storage's s3:// address, and nothing else",
            ) from None

    def keyring(self) -> Keyring:
        for folder in self.more_keys:
            if not folder.is_dir():
                raise Missing(f"there is no folder {folder}", hint="--keys names a folder that holds .key files")
        return Keyring([self.keys, self.root_keys, *self.more_keys], passphrases)

    def repository(self, keyring: Keyring | None = None) -> Repository:
        """Raises Missing when there is none."""
        try:
            given = self.root.read_bytes()
        except FileNotFoundError:
            raise Missing(
                f"{self.folder} holds no release repository",
                hint=f"orlop release init makes one; --home or ORLOP_RELEASE names another folder than {self.folder}",
            ) from None
        return Repository(self.storage, keyring or self.keyring(), given, FolderCache(self.folder / "memory"))

    @contextmanager
    def changing(self) -> Iterator[Repository]:
        """The repository, with the right to change it. Raises Missing or Busy."""
        repository = self.repository()
        with self._interrupted(), self.locked():
            yield repository

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The right to change the storage. Raises Busy."""
        with self.storage.lock() as waited:
            if waited:
                typer.echo(waited, err=True)
            yield

    @contextmanager
    def _interrupted(self) -> Iterator[None]:
        """Say how to go on when a root was put into the repository, and no timestamp after it."""
        try:
            yield
        except Refused:
            draft = ceremony.decode(self.draft.read_bytes(), str(self.draft)) if self.draft.exists() else None
            name = f"metadata/{draft.signed.version}.root.json" if draft else ""
            if draft is None or self.storage.read(name) != ceremony.as_published(draft):
                raise
            raise Refused(
                f"root {draft.signed.version} is in the repository without the timestamp after it: "
                "the command that put it there was interrupted",
                hint="orlop release root apply goes on with it",
            ) from None


def passphrases(name: str) -> Iterator[str]:
    """To try for the key of that name: the lines of the file in ORLOP_PASSPHRASE_FILE, or what is said, three times."""
    if (lines := _in_file()) is not None:
        yield from lines
        return
    for before in ("", "That does not open it. ", "Nor does that. "):
        yield _asked(f"{before}Passphrase of the key {name}", twice=False)


def new_passphrase() -> str:
    """For new keys: the first line of that file, or asked for twice."""
    if (lines := _in_file()) is not None:
        return next(iter(lines), "")
    return _asked("Passphrase for the new keys", twice=True)


def _in_file() -> list[str] | None:
    if not (named := os.environ.get(PASSPHRASE_FILE)):
        return None
    try:
        return [line for line in Path(named).read_text().split("\n") if line]
    except (OSError, ValueError) as e:
        raise BadInput(f"the file in {PASSPHRASE_FILE} cannot be read: {e}") from None


def _asked(what: str, *, twice: bool) -> str:
    if not sys.stdin.isatty():
        raise BadInput(
            "the keys need their passphrase, and there is no terminal to ask for it",
            hint=f"put it into a file that only you can read, and name that in {PASSPHRASE_FILE}",
        )
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))


def now() -> datetime:
    """The one moment of a command."""
    return datetime.now(UTC).replace(microsecond=0)
