"""Which sequences of roots and signatures are followed, and in which order delegations are searched: tables."""

from __future__ import annotations

import pytest
from securesystemslib.signer import CryptoSigner

from orlop.trust import client
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Refused
from simulators.repository import START, RepositorySimulator

SIGNERS = [CryptoSigner.generate_ed25519() for _ in range(10)]
Step = tuple[list[int], int, list[int]]  # keys, threshold, who signs

# name: (the roots one after the other, the version that is trusted in the end; a lower one: what follows is refused)
ROOTS: dict[str, tuple[list[Step], int]] = {
    "another key": ([([1], 1, [1]), ([2], 1, [2, 1]), ([2], 1, [2])], 3),
    "strangers sign too": ([([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2])], 3),
    "3 of 5, others each time": ([([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 2, 3, 4], 3, [0, 4, 1])], 2),
    "3 of 5, one replaced": ([([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1])], 2),
    "3 of 5, all replaced": ([([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7])], 2),
    "a higher threshold": ([([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [1, 2])], 2),
    "a lower threshold": ([([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1, 2]), ([1, 2, 3], 1, [1])], 3),
    "old keys do not sign": ([([1], 1, [1]), ([2], 1, [2, 3, 4])], 1),
    "new keys do not sign": ([([1], 1, [1]), ([2], 1, [1, 3, 4])], 1),
    "too few of the new": ([([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4])], 1),
    "too few of the old": ([([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 5])], 1),
    "the higher threshold is not reached": ([([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2])], 1),
    "the old threshold is not reached": ([([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1])], 1),
    "refused in the middle": ([([1], 1, [1]), ([2], 1, [1, 2]), ([3], 1, [3]), ([3], 1, [3])], 2),
    "one signs twice": ([([1, 2], 2, [1, 2]), ([1, 2], 2, [1, 1])], 1),
}


@pytest.mark.parametrize(("steps", "trusted"), ROOTS.values(), ids=ROOTS)
def test_roots(steps: list[Step], trusted: int) -> None:
    repo = RepositorySimulator()
    repo.root.version = 0
    for keys, threshold, signs in steps:
        role = repo.root.roles["root"]
        for keyid in list(role.keyids):
            repo.root.revoke_key(keyid, "root")
        for n in keys:
            repo.root.add_key(SIGNERS[n].public_key, "root")
        role.threshold = threshold
        repo.signers["root"] = [SIGNERS[n] for n in signs]
        repo.publish("root")
    cache = MemoryCache()
    if trusted == len(steps):
        assert client.refresh(repo.first_root, cache, repo.fetch, START).root.version == trusted
    else:
        with pytest.raises(Refused, match=f"root {trusted + 1} is signed by"):
            client.refresh(repo.first_root, cache, repo.fetch, START)
    kept = cache.get("root.json")
    assert kept == repo.files[f"{trusted}.root.json"]


# name: (keys, threshold, who signs, whether it is believed), for timestamp, snapshot and targets after a first check
ONLINE: dict[str, tuple[list[int], int, list[int], bool]] = {
    "another key": ([2], 1, [2], True),
    "strangers sign too": ([1], 1, [3, 1, 4], True),
    "not the new key": ([2], 1, [1, 3, 4], False),
    "3 of 5": ([0, 1, 2, 3, 4], 3, [2, 3, 4], True),
    "3 of 5, one a stranger": ([0, 1, 3, 4, 5], 3, [0, 2, 4], False),
    "2 of the 3 needed": ([0, 1, 3, 4, 5], 3, [0, 4], False),
}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize(("keys", "threshold", "signs", "good"), ONLINE.values(), ids=ONLINE)
def test_online_roles(role: str, keys: list[int], threshold: int, signs: list[int], good: bool) -> None:
    """The same version, signed anew: what was kept is believed no more, and what is served is, when enough sign."""
    repo = RepositorySimulator()
    cache = MemoryCache()
    client.refresh(repo.first_root, cache, repo.fetch, START)
    for keyid in list(repo.root.roles[role].keyids):
        repo.root.revoke_key(keyid, role)
    for n in keys:
        repo.root.add_key(SIGNERS[n].public_key, role)
    repo.root.roles[role].threshold = threshold
    repo.signers[role] = [SIGNERS[n] for n in signs]
    repo.publish("root")
    repo.publish(role, bump=False)
    if good:
        client.refresh(repo.first_root, cache, repo.fetch, START)
        name = "timestamp.json" if role == "timestamp" else f"1.{role}.json"
        assert cache[f"{role}.json"] == repo.files[name]
    else:
        with pytest.raises(Refused, match=f"{role} 1 is signed by"):
            client.refresh(repo.first_root, cache, repo.fetch, START)


# name: (delegations as (delegator, role, terminating, paths), the order in which a missing target is looked for)
Delegation = tuple[str, str, bool, str]
GRAPHS: dict[str, tuple[list[Delegation], list[str]]] = {
    "one": ([("targets", "A", False, "*")], ["A"]),
    "two": ([("targets", "A", False, "*"), ("targets", "B", False, "*")], ["A", "B"]),
    "depth first": (
        [("targets", "A", False, "*"), ("targets", "B", False, "*"), ("A", "C", False, "*"), ("A", "D", False, "*")],
        ["A", "C", "D", "B"],
    ),
    "a terminating one ends it": (
        [("targets", "A", False, "*"), ("targets", "B", False, "*"), ("A", "C", True, "*"), ("A", "D", False, "*")],
        ["A", "C"],
    ),
    "but not what is below it": (
        [("targets", "A", False, "*"), ("targets", "B", False, "*"), ("A", "C", True, "*"), ("C", "D", False, "*")],
        ["A", "C", "D"],
    ),
    "other paths are passed by": (
        [("targets", "A", False, "*.py"), ("targets", "B", False, "*"), ("A", "C", False, "*")],
        ["B"],
    ),
    "and what is below them": (
        [("targets", "A", False, "*"), ("targets", "B", False, "*"), ("A", "C", False, "*.py"), ("C", "D", False, "*")],
        ["A", "B"],
    ),
    "a circle": (
        [("targets", "A", False, "*"), ("targets", "B", False, "*"), ("B", "C", False, "*"), ("C", "D", False, "*"),
         ("D", "B", False, "*")],
        ["A", "B", "C", "D"],
    ),
    "two lead to a third": (
        [("targets", "A", False, "*"), ("targets", "B", False, "*"), ("B", "C", False, "*"), ("A", "C", False, "*")],
        ["A", "C", "B"],
    ),
    "a folder is no star": ([("targets", "A", False, "x/*"), ("targets", "B", False, "*/*")], []),
}  # fmt: skip


@pytest.mark.parametrize(("delegations", "order"), GRAPHS.values(), ids=GRAPHS)
def test_the_order_of_a_search(delegations: list[Delegation], order: list[str]) -> None:
    repo = RepositorySimulator(roles=())
    for by, role, terminating, path in delegations:
        repo.delegate(by, role, [path], terminating=terminating)
    repo.publish("targets", *repo.delegated, "snapshot", "timestamp")
    cache = MemoryCache()
    t = client.refresh(repo.first_root, cache, repo.fetch, START)
    repo.asked()
    _, info = client.find(t, "missing", cache, repo.fetch)
    assert info is None
    assert [path.split(".")[1] for path in repo.asked()] == order
