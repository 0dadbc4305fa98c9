"""Channels that come and go: the names that the targets role delegates to, each with the key that speaks for it.

Invariant: a snapshot names every role that one before it has named, for machines refuse one that has lost a role. So a
channel that is gone keeps its number there, and one that comes again goes on from it.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import datetime

from tuf.api.metadata import DelegatedRole, Targets

from orlop.errors import BadInput
from orlop.model.release.channel import Channel, check_name
from orlop.publish.keys.keys import KeyFile
from orlop.publish.repository.repository import Change, RepositoryState


def delegate(targets: Targets, name: str, key: KeyFile) -> None:
    """Let the key, and no other, speak for a channel: for the targets in the channel's folder."""
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    if name in targets.delegations.roles:
        for keyid in list(targets.delegations.roles[name].keyids):
            targets.revoke_key(keyid, name)
    else:
        targets.delegations.roles[name] = DelegatedRole(name, [], 1, True, [f"{name}/*"])
    targets.add_key(key.key, name)


def check_new(state: RepositoryState, name: str) -> None:
    """Raise BadInput unless this can be a further channel."""
    check_name(name)
    if name in state.channels:
        raise BadInput(f"there is a channel {name} already", hint="nothing was changed")


def added(state: RepositoryState, name: str, key: KeyFile, now: datetime) -> Change:
    """A further channel, with no version yet. Raises BadInput."""
    check_new(state, name)
    targets = deepcopy(state.targets)
    delegate(targets, name, key)
    return Change(targets=targets, documents={name: Channel(name, now)})


def rekeyed(state: RepositoryState, name: str, key: KeyFile) -> Change:
    """The channel as it is, signed by another key."""
    targets = deepcopy(state.targets)
    delegate(targets, name, key)
    return Change(targets=targets, renew=[name])


def removed(state: RepositoryState, name: str) -> tuple[RepositoryState, Change]:
    """The state without the channel, and the change that makes it so. Raises Missing."""
    state.document(name)
    targets = deepcopy(state.targets)
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    for keyid in list(targets.delegations.roles[name].keyids):
        targets.revoke_key(keyid, name)
    del targets.delegations.roles[name]
    channels = {n: role for n, role in state.channels.items() if n != name}
    documents = {n: document for n, document in state.documents.items() if n != name}
    return replace(state, channels=channels, documents=documents), Change(targets=targets)
