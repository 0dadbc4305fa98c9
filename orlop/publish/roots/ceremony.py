"""Roots: making the first one, and making the next, signed on machines that never meet.

A draft is the next root's own metadata with the signatures it has so far, and the root before it: a small file that
travels. Whoever holds a root key is shown, key by key and in full, what it changes, signs, and hands it on; when the
old keys' threshold and the new keys' is reached it is put into the repository.

What a draft says of the root before it is the word of whoever made it. It counts as known where it is the repository's
own, or where a root that the signer holds is that one or has keys that signed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import Delegations, Metadata, Root, Snapshot, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from orlop.errors import BadInput, Missing
from orlop.model.release.channel import Channel
from orlop.publish.channels.channels import delegate
from orlop.publish.keys.keys import KeyFile, Keyring
from orlop.publish.repository.repository import LIFETIMES, TOP, Change, Repository, RepositoryState, unsigned_targets
from orlop.publish.storage.storage import Storage
from orlop.trust import verify
from orlop.trust.errors import Refused

Draft = Metadata[Root]
BEFORE = "root_before"  # travels with a draft, unsigned, for those who have no repository at hand


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


def check_threshold(threshold: int, roots: int) -> None:
    """Raise BadInput unless so many of the root keys can be asked for."""
    if not 1 <= threshold <= roots:
        raise BadInput(
            f"{threshold} of {roots} root keys cannot be asked for", hint="give a threshold of 1 to that many"
        )


def first(keys: Mapping[str, Sequence[KeyFile]], threshold: int, now: datetime) -> Draft:
    """The draft of root 1: for each top role its keys, `threshold` of the root keys needed."""
    check_threshold(threshold, len({key.keyid for key in keys["root"]}))
    root = Root(expires=now.replace(microsecond=0) + LIFETIMES["root"], consistent_snapshot=True)
    for role in TOP:
        for key in keys[role]:
            root.add_key(key.key, role)
    root.roles["root"].threshold = threshold
    return Metadata(root)


def following(current: Draft, now: datetime) -> Draft:
    """A draft of the root after the current one, with nothing changed but its time."""
    root = deepcopy(current.signed)
    root.version += 1
    root.expires = now.replace(microsecond=0) + LIFETIMES["root"]
    return Metadata(root, unrecognized_fields={BEFORE: Metadata(current.signed, current.signatures).to_dict()})


def published(storage: Storage, root: Root) -> Draft:
    """The repository's root with its signatures. Raises Refused when that is another one than is trusted."""
    name = f"metadata/{root.version}.root.json"
    draft = decode(storage.read(name) or b"", name)
    if draft.signed != root:
        raise Refused(f"{name} is not the root that is trusted", hint="the repository was tampered with")
    return draft


def before(draft: Draft) -> Draft | None:
    """The root before, as the draft has it; None for the first. Raises BadInput or Refused when that is none."""
    version = draft.signed.version
    if version == 1:
        return None
    try:
        previous = Metadata[Root].from_dict(deepcopy(draft.unrecognized_fields[BEFORE]))
        root = verify.start(encode(previous), previous.signed.expires).root
    except (KeyError, ValueError, TypeError, AttributeError):
        raise BadInput(
            f"the draft of root {version} lacks the root before it", hint="remove it, and make a new one"
        ) from None
    if root.version != version - 1:
        raise BadInput(
            f"the draft of root {version} has root {root.version} as the one before it", hint="make a new one"
        )
    return previous


def compared(draft: Draft, own: Draft | None, held: Draft | None) -> tuple[Root | None, str]:
    """The root that a draft changes, and in words how far that is known. Raises BadInput or Refused.

    `own` is the one before it in this machine's repository, `held` any root that the signer has kept.
    """
    previous = before(draft)
    if previous is None:
        return None, "the first root: there is none before it"
    version = previous.signed.version
    if own is not None and own.signed != previous.signed:
        raise Refused(f"the draft was made from another root {version} than the repository's", hint="do not sign it")
    if held is not None and held.signed != previous.signed:
        older = held.signed.version < version
        if not older or not held.signed.get_verification_result("root", previous.signed_bytes, previous.signatures):
            raise Refused(
                f"the draft was made from a root {version} that root {held.signed.version} does not vouch for",
                hint=f"do not sign it, unless somebody you trust gives you a root {version} that does: as --root",
            )
    if own is None and held is None:
        return previous.signed, f"compared with root {version} as the draft has it: --root and one you hold makes sure"
    return (
        previous.signed,
        f"compared with root {version}, which is {'the repository' if own else 'yours or vouched for'}",
    )


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
        raise BadInput(f"{where} is not a valid root draft ({e.__cause__ or e})") from None
    if not isinstance(draft.signed, Root):
        raise BadInput(f"{where} is not a valid root draft: it is {draft.signed.type}")
    return draft


def sign(draft: Draft, keyring: Keyring) -> list[KeyFile]:
    """Sign with every root key here, of the draft's and of the root's before it. Raises Missing."""
    old = before(draft)
    ids = [*draft.signed.roles["root"].keyids, *(old.signed.roles["root"].keyids if old else ())]
    able = keyring.able(list(dict.fromkeys(ids)))
    if not able:
        raise Missing("no root key can sign here", hint="name the folder that has it with --keys")
    for key in able:
        draft.sign(keyring.signer(key), append=True)
    return able


def votes(draft: Draft, old: Root | None) -> list[Vote]:
    """What is signed and what is missing, by the old root's keys and by the draft's own."""
    ballots = []
    for whose, root in (("the current root", old), ("the new root", draft.signed)):
        if root is None:
            continue
        result = root.get_verification_result("root", draft.signed_bytes, draft.signatures)
        ballots.append(Vote(whose, result.threshold, tuple(result.signed), tuple(result.unsigned)))
    return ballots


def described(draft: Draft, old: Root | None, names: Mapping[str, str] | None = None) -> list[str]:
    """What a draft changes, in words: what whoever signs it must agree with. `names`: of keys, by their ids."""
    new = draft.signed
    lines = [f"root {new.version}, good until {new.expires:%Y-%m-%d}"]
    for role in TOP:
        is_, was = new.roles[role], (old or new).roles[role]
        changed = f" ({was.threshold} before)" if was.threshold != is_.threshold else ""
        lines.append(f"{role}: needs {is_.threshold} of{changed}")
        marks = {i: "-" if i not in is_.keyids else " " if i in was.keyids else "+" for i in {*is_.keyids, *was.keyids}}
        lines += [f"  {mark} {keyid}  {(names or {}).get(keyid, '')}".rstrip() for keyid, mark in sorted(marks.items())]
    return lines


def must_be_whole(draft: Draft, old: Root | None) -> None:
    """Raise Missing unless the draft has all the signatures it needs."""
    for vote in votes(draft, old):
        if not vote.enough:
            raise Missing(
                f"root {draft.signed.version} has {len(vote.signed)} of the {vote.threshold} signatures that "
                f"{vote.whose} asks for",
                hint=f"let one of these sign it: {', '.join(vote.missing)} (orlop release root sign)",
            )


def create(repository: Repository, draft: Draft, channels: Mapping[str, KeyFile], now: datetime) -> RepositoryState:
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
    state = RepositoryState(draft.signed, timestamp, snapshot, targets, {}, {})
    change = Change(documents={name: Channel(name, now) for name in channels}, targets=targets)
    files, after = repository.prepare(state, change, now)
    repository.write([("metadata/1.root.json", as_published(draft)), *files.items()])
    return after


def as_published(draft: Draft) -> bytes:
    """The root as machines get it."""
    return Metadata(draft.signed, dict(draft.signatures)).to_bytes(JSONSerializer(compact=True))
