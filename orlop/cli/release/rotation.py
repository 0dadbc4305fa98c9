"""`orlop release`: what every change of keys does with their files.

Invariant: a key's file is there before the first byte that names the key, and after everything has been signed: a
change that fails leaves no key behind, and no change loses one.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

from orlop.cli.release.home import Home, new_passphrase
from orlop.publish.keys import keys
from orlop.publish.keys.keys import SUFFIX, KeyFile
from orlop.publish.repository.repository import TOP, Repository, RepositoryState
from orlop.publish.roots import ceremony


def new_keys(
    repository: Repository, names: Sequence[Sequence[str]], given: Sequence[Path] | None
) -> list[list[KeyFile]]:
    """The given keys, or for each role new ones of these names. They sign for this command; nothing is kept yet."""
    if given:
        generated, words = [[keys.read(path) for path in given]], ""
    else:
        words, salt = new_passphrase(), keys.new_salt()
        generated = [[keys.generate(name, words, salt) for name in role] for role in names]
    for key in itertools.chain(*generated):
        repository.keyring.add(key, words)
    return generated


def keep(folder: Path, new: Sequence[KeyFile]) -> None:
    """Put the keys where the next command finds them."""
    for key in new:
        keys.write(folder, key)


def begun_draft(where: Home) -> ceremony.Draft | None:
    """The draft in the publisher's folder, if there is one."""
    return ceremony.decode(where.draft.read_bytes(), str(where.draft)) if where.draft.exists() else None


def retire(where: Home, state: RepositoryState, begun: ceremony.Draft | None) -> None:
    """Move the keys that speak for nothing any more out of the way; they are not removed.

    `begun` is the draft in the publisher's folder: its keys will speak for something.
    """
    used = {i for role in (*TOP, *state.channels) for i in state.keyids(role)}
    if begun is not None and begun.signed.version > state.root.version:
        used |= begun.signed.keys.keys()
    for folder in (where.keys, where.root_keys):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if keys.read(path).keyid not in used:
                (folder / "retired").mkdir(mode=0o700, exist_ok=True)
                shutil.move(path, folder / "retired" / path.name)
