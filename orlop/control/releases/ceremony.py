"""Roots: making the first one, and making the next, signed on machines that never meet.

A draft is the next root's own metadata with the signatures it has so far: a small file that travels. Whoever holds a
root key is shown what it changes, signs, and hands it on; when the old keys' threshold and the new keys' is reached it
is put into the repository.

Invariant: machines go on through a rotation. Where the old keys of an online role are at hand, what is current is first
signed by both old and new keys, then the root appears, then a new timestamp says so: every one of these moments is
valid. Where an old key is lost or must not be used, the root and the timestamp after it are two writes a moment apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime

from tuf.api.metadata import Delegations, Metadata, Root, Snapshot, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from orlop.control.releases.channels import delegate
from orlop.control.releases.keys import KeyFile, Keyring
from orlop.control.releases.repository import (
    LIFETIMES,
    TOP,
    Change,
    Repository,
    State,
    check,
    load,
    unsigned_targets,
)
from orlop.errors import BadInput, Missing
from orlop.model.channel import Channel
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused

Draft = Metadata[Root]
Files = Sequence[tuple[str, bytes]]
BEFORE = "keys_of_the_root_before"  # travels with a draft, unsigned, for those who have no repository at hand


@dataclass(frozen=True)
class Vote:
    """Who has signed a draft, as one root's keys see it."""

    whose: str
    threshold: int
    signed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def enough(self) -> bool:
        return len(self.signed) >= self.threshold


def first(keys: Mapping[str, Sequence[KeyFile]], threshold: int, now: datetime) -> Draft:
    """The draft of root 1: for each top role its keys, `threshold` of the root keys needed."""
    roots = len({key.keyid for key in keys["root"]})
    if not 1 <= threshold <= roots:
        raise BadInput(
            f"{threshold} of {roots} root keys cannot be asked for", hint="give a threshold of 1 to that many"
        )
    root = Root(expires=now.replace(microsecond=0) + LIFETIMES["root"], consistent_snapshot=True)
    for role in TOP:
        for key in keys[role]:
            root.add_key(key.key, role)
    root.roles["root"].threshold = threshold
    return Metadata(root)


def following(current: Root, now: datetime) -> Draft:
    """A draft of the root after the current one, with nothing changed but its time."""
    root = deepcopy(current)
    root.version += 1
    root.expires = now.replace(microsecond=0) + LIFETIMES["root"]
    return Metadata(root, unrecognized_fields={BEFORE: list(current.roles["root"].keyids)})


def replace_keys(draft: Draft, role: str, keys: Sequence[KeyFile], threshold: int | None = None) -> None:
    """Let these keys, and no others, speak for a top role."""
    root = draft.signed
    threshold = threshold or root.roles[role].threshold
    if not 1 <= threshold <= len({key.keyid for key in keys}):
        raise BadInput(
            f"{role} cannot need {threshold} of {len(keys)} keys", hint="give more keys, or a lower --threshold"
        )
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for key in keys:
        root.add_key(key.key, role)
    root.roles[role].threshold = threshold


def encode(draft: Draft) -> bytes:
    return draft.to_bytes(JSONSerializer())


def decode(raw: bytes, where: str) -> Draft:
    try:
        draft = Metadata[Root].from_bytes(raw)
    except DeserializationError as e:
        raise BadInput(f"{where} is no root draft ({e.__cause__ or e})") from None
    if not isinstance(draft.signed, Root):
        raise BadInput(f"{where} is no root draft: it is {draft.signed.type}")
    return draft


def sign(draft: Draft, keyring: Keyring) -> list[KeyFile]:
    """Sign with every root key here, of the draft's and of the root's before it. Raises Missing."""
    before = draft.unrecognized_fields.get(BEFORE, [])
    able = keyring.able(list(dict.fromkeys([*draft.signed.roles["root"].keyids, *before])))
    if not able:
        raise Missing("no root key can sign here", hint="name the folder that has it with --keys")
    for key in able:
        draft.sign(keyring.signer(key), append=True)
    return able


def votes(draft: Draft, old: Root | None) -> list[Vote]:
    """What is signed and what is missing, by the old root's keys and by the draft's own."""
    found = []
    for whose, root in (("the current root", old), ("the new root", draft.signed)):
        if root is None:
            continue
        result = root.get_verification_result("root", draft.signed_bytes, draft.signatures)
        found.append(Vote(whose, result.threshold, tuple(result.signed), tuple(result.unsigned)))
    return found


def described(draft: Draft, old: Root | None) -> list[str]:
    """What a draft changes, in words: what whoever signs it must agree with."""
    new = draft.signed
    lines = [f"root {new.version}, good until {new.expires:%Y-%m-%d}"]
    for role in TOP:
        ids, wanted = set(new.roles[role].keyids), new.roles[role].threshold
        before = set(old.roles[role].keyids) if old else set()
        names = ", ".join(f"{'+' if old and i not in before else ''}{i[:8]}" for i in sorted(ids))
        gone = "".join(f", -{i[:8]}" for i in sorted(before - ids))
        lines.append(f"{role}: {wanted} of {names}{gone}")
    return lines


def must_be_whole(draft: Draft, old: Root | None) -> None:
    """Raise Missing unless the draft has all the signatures it needs."""
    for vote in votes(draft, old):
        if not vote.enough:
            ids = ", ".join(i[:8] for i in vote.missing)
            raise Missing(
                f"root {draft.signed.version} has {len(vote.signed)} of the {vote.threshold} signatures that "
                f"{vote.whose} asks for",
                hint=f"let one of these sign it: {ids} (orlop release root sign)",
            )


def create(repository: Repository, draft: Draft, channels: Mapping[str, KeyFile], now: datetime) -> State:
    """The first state of a repository: the signed root, and every channel with no version yet."""
    must_be_whole(draft, None)
    now = now.replace(microsecond=0)
    targets = unsigned_targets()
    targets.delegations = Delegations({}, roles={})
    assert targets.delegations.roles is not None
    for name, key in channels.items():
        delegate(targets, name, key)
    snapshot, timestamp = Snapshot(), Timestamp()
    snapshot.version = timestamp.version = 0
    state = State(draft.signed, timestamp, snapshot, targets, {}, {})
    change = Change(documents={name: Channel(name, now) for name in channels}, targets=targets)
    files, made = repository.prepare(state, change, now)
    repository.write([("metadata/1.root.json", _published(draft)), *files.items()])
    return made


def apply(repository: Repository, draft: Draft, now: datetime) -> State:
    """Put the next root into the repository. Raises Missing when a signature or an online key is not there."""
    files, state = prepare(repository, draft, now)
    repository.write(files)
    return state


def prepare(repository: Repository, draft: Draft, now: datetime) -> tuple[Files, State]:
    """What `apply` writes, in its order, signed and checked; and the state that it leads to."""
    now = now.replace(microsecond=0)
    new = draft.signed
    name = f"metadata/{new.version}.root.json"
    root = {name: _published(draft)}
    begun = repository.storage.read(name) == root[name]
    try:
        state = repository.load()
    except Refused:
        if not begun:
            raise
        # interrupted between the root and its timestamp: the state before the root is still there
        state = load(repository.storage, repository.given, MemoryCache(), hidden=name)
    if begun and state.root.version == new.version:
        again, state = repository.prepare(state, Change(), now)
        return list(again.items()), state
    if new.version != state.root.version + 1:
        raise BadInput(
            f"the draft is root {new.version}, the repository is at root {state.root.version}",
            hint="make a new draft: orlop release rotate-keys",
        )
    must_be_whole(draft, state.root)
    changed = [r for r in TOP[1:] if state.keyids(r) != state.keyids(r, new)]
    before: dict[str, bytes] = {}
    both = False
    if changed:
        with contextlib.suppress(Missing):  # an old key is not here: see the invariant
            before, state = _by_both(repository, state, new, changed, now)
            both = True
    state = replace(deepcopy(state), root=new)
    files: dict[str, bytes] = {}
    if both or not changed:
        files |= repository.sign(state, "timestamp", now)
        check(repository.storage, {**before, **root, **files}, repository.given, now, state)
    else:
        if "targets" in changed:
            files |= repository.sign(state, "targets", now)
        files, state = repository.seal(state, files, now, over=root)
    *named, timestamp = files.items()
    return [*before.items(), *named, *root.items(), timestamp], state


def _published(draft: Draft) -> bytes:
    """The root as machines get it."""
    return Metadata(draft.signed, dict(draft.signatures)).to_bytes(JSONSerializer(compact=True))


def _by_both(
    repository: Repository, state: State, new: Root, changed: Sequence[str], now: datetime
) -> tuple[dict[str, bytes], State]:
    """What is current, signed by the keys of the old root and of the new one: valid before the root and after."""
    state = deepcopy(state)
    files = repository.sign(state, "targets", now, new) if "targets" in changed else {}
    return repository.seal(state, files, now, also=new)
