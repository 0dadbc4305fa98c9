"""The next root put into a repository, and new keys with it.

Invariant: machines go on through a rotation. Where the old keys of an online role are at hand, what is current is first
signed by both old and new keys, then the root appears, then a new timestamp says so: every one of these moments is
valid. Where an old key is lost or must not be used, the root and the timestamp after it are two writes a moment apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime

from tuf.api.metadata import Root

from orlop.errors import BadInput
from orlop.net.errors import Unreachable
from orlop.publish.keys.keys import Keyring
from orlop.publish.repository.repository import RUNAWAY, TOP, Change, Repository, RepositoryState, check, load
from orlop.publish.roots import ceremony
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused

ONLINE = TOP[1:]
Files = Sequence[tuple[str, bytes]]


def apply(repository: Repository, draft: ceremony.Draft, now: datetime) -> RepositoryState:
    """Put the next root into the repository. Raises Missing when a signature or an online key is not there."""
    files, state = prepare(repository, draft, now)
    repository.write(files)
    return state


def prepare(repository: Repository, draft: ceremony.Draft, now: datetime) -> tuple[Files, RepositoryState]:
    """What `apply` writes, in its order, signed and checked; and the state that it leads to."""
    now = now.replace(microsecond=0)
    new = draft.signed
    name = f"metadata/{new.version}.root.json"
    root = {name: ceremony.as_published(draft)}
    begun = repository.storage.read(name) == root[name]
    start = start_of(repository, draft)
    state = start.state
    if begun and state.root.version == new.version:  # cut off after the root: only the timestamp may be missing
        again, state = repository.prepare(state, Change(), now)
        return list(again.items()), state
    if new.version != state.root.version + 1:
        raise BadInput(
            f"the draft is root {new.version}, the repository is at root {state.root.version}",
            hint="make a new draft: orlop release rotate-keys",
        )
    ceremony.must_be_whole(draft, state.root)
    changed = [role for role in ONLINE if state.keyids(role) != state.keyids(role, new)]
    both = bool(changed) and start.unbroken(repository.keyring, changed)
    first: dict[str, bytes] = {}
    if both:
        first, state = _by_both(repository, state, new, changed, now)
    state = replace(deepcopy(state), root=new)
    files: dict[str, bytes] = {}
    if both or not changed:
        files |= repository.sign(state, "timestamp", now)
        check(repository.storage, {**first, **root, **files}, repository.given, now, state)
    else:
        if "targets" in changed:
            files |= repository.sign(state, "targets", now)
        files, state = repository.seal(state, files, now, over=root)
    *named, timestamp = files.items()
    # machines look at the timestamp first: whatever it leads to must be there before, the root that signs it as well
    return [*first.items(), *named, *root.items(), timestamp], state


def start_of(repository: Repository, draft: ceremony.Draft) -> RotationStart:
    """What putting the draft in goes on from."""
    name = f"metadata/{draft.signed.version}.root.json"
    begun = repository.storage.read(name) == ceremony.as_published(draft)
    return before_rotation(repository, replaced(ceremony.before(draft), draft), name if begun else "")


@dataclass(frozen=True)
class RotationStart:
    """What a rotation goes on from. `forgotten`: what was signed by the keys that go, that machines must forget."""

    state: RepositoryState
    forgotten: str = ""

    def unbroken(self, keyring: Keyring, changed: Collection[str]) -> bool:
        """What is current can be signed by old and new keys: no machine is refused at any moment."""
        roles = {"snapshot", "timestamp", *changed}
        enough = (
            len(keyring.able(self.state.keyids(r))) >= self.state.root.get_delegated_role(r).threshold for r in roles
        )
        return not self.forgotten and all(enough)

    def foretold(self, version: int, keyring: Keyring, changed: Collection[str]) -> list[str]:
        """What machines will do about the root of that version, which replaces the keys of the roles in `changed`."""
        if self.forgotten:
            lines = [f"forget {self.forgotten} with the key that signed it, and go on from what was signed here before"]
        else:
            lines = [f"go on to root {version} at their next check"]
        if changed and not self.unbroken(keyring, changed):
            lines.append("are refused when they ask between root and timestamp, a moment apart; they ask again later")
        return lines


def replaced(old: ceremony.Draft | None, new: ceremony.Draft) -> list[str]:
    """The online roles that get other keys."""
    return [r for r in ONLINE if old is None or old.signed.roles[r].keyids != new.signed.roles[r].keyids]


def before_rotation(repository: Repository, changed: Collection[str], begun: str = "") -> RotationStart:
    """The state to go on from when the keys of these roles are replaced. `begun`: the root that is stored already.

    When timestamp's keys are replaced machines forget its number, and with snapshot's every other one. So what a thief
    has signed with them, numbers without end or what does not exist, is gone on from what was signed here before.
    """
    with contextlib.suppress(Refused, Unreachable):
        return _without_runaways(repository, repository.load(), changed)
    if begun:  # interrupted between the root and its timestamp: the state before the root is still there
        with contextlib.suppress(Refused, Unreachable):
            state = load(repository.storage, repository.given, MemoryCache(), begun)
            return _without_runaways(repository, state, changed, begun)
    if "timestamp" in changed:
        with contextlib.suppress(Refused, Unreachable):
            if (left := repository.left(begun)) is not None:
                return RotationStart(left, "the timestamp")
    return RotationStart(repository.load())


def _without_runaways(
    repository: Repository, state: RepositoryState, changed: Collection[str], begun: str = ""
) -> RotationStart:
    roles = ("targets", *state.channels, "snapshot", "timestamp")
    away = [role for role in roles if state.signed(role).version >= RUNAWAY]
    if not away or not {"timestamp", *(() if away == ["timestamp"] else ("snapshot",))} <= {*changed}:
        return RotationStart(state)
    left = repository.left(begun)
    if away == ["timestamp"]:
        state.timestamp.version = left.timestamp.version if left is not None else 0
    elif left is not None:
        state = left
    return RotationStart(state, f"the number of {', '.join(away)}")


def _by_both(
    repository: Repository, state: RepositoryState, new: Root, changed: Sequence[str], now: datetime
) -> tuple[dict[str, bytes], RepositoryState]:
    """What is current, signed by the keys of the old root and of the new one: valid before the root and after."""
    state = deepcopy(state)
    files = repository.sign(state, "targets", now, new) if "targets" in changed else {}
    return repository.seal(state, files, now, also=new)
