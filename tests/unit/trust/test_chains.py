"""A machine that is given another root: a newer or older one of the same chain, or one of another repository."""

from __future__ import annotations

from contextlib import suppress

import pytest

from orlop.trust.errors import Refused
from simulators.repository import RepositorySimulator
from tests.unit.trust.machines import Machine


class Deaf(Exception):
    """The power fails."""


def chain(length: int, *, new_keys: bool = True) -> RepositorySimulator:
    """A repository with so many roots; each replaces the root keys."""
    repo = RepositorySimulator()
    repo.add_target("stable", "stable/x", b"first")
    repo.publish("targets", "stable", "snapshot", "timestamp")
    lengthen(repo, length - 1, new_keys=new_keys)
    return repo


def lengthen(repo: RepositorySimulator, by: int, *, new_keys: bool = True) -> None:
    for _ in range(by):
        old = {"root": repo.rotate("root")} if new_keys else {}
        repo.publish("root", "timestamp", also_by=old)


def given(machine: Machine, repo: RepositorySimulator, root: int) -> Machine:
    machine.repo, machine.root = repo, repo.files[f"{root}.root.json"]
    return machine


def knows(repo: RepositorySimulator, root: int = 1) -> Machine:
    machine = given(Machine(repo), repo, root)
    assert machine.target("stable/x") == b"first"
    return machine


def still_protected(machine: Machine, repo: RepositorySimulator) -> None:
    """A timestamp that is older than the one it knows is not believed."""
    known = machine.versions()["timestamp"]
    newest, raw = repo.timestamp.version, repo.files["timestamp.json"]
    repo.timestamp.version = known - 1
    repo.publish("timestamp", bump=False)
    machine.refused(f"sent timestamp {known - 1}, and {known} is known")
    repo.timestamp.version, repo.files["timestamp.json"] = newest, raw


@pytest.mark.parametrize("new_keys", [False, True])
@pytest.mark.parametrize(("first", "then"), [(1, 2), (1, 3), (3, 1), (2, 3), (3, 2), (3, 3), (2, 1)])
def test_a_root_of_the_same_chain_keeps_what_is_known(first: int, then: int, new_keys: bool) -> None:
    repo = chain(3, new_keys=new_keys)
    machine = knows(repo, 1)
    given(machine, repo, first).refresh()
    given(machine, repo, then)
    still_protected(machine, repo)
    assert machine.refresh().root.version == 3
    hidden = {n: repo.files.pop(f"{n}.root.json") for n in (2, 3)}
    machine.cache = type(machine.cache)(
        {k: v for k, v in machine.cache.items() if k not in ("roots/2.json", "roots/3.json")}
    )
    if then < 3:
        machine.refused("root 3 is known already")
    repo.files |= {f"{n}.root.json": raw for n, raw in hidden.items()}
    assert machine.refresh().root.version == 3


def test_an_image_with_a_root_that_comes_next_is_of_the_same_chain() -> None:
    repo = chain(2)
    machine = knows(repo)
    lengthen(repo, 1)
    given(machine, repo, 3)
    still_protected(machine, repo)
    assert machine.refresh().root.version == 3


def test_an_image_with_a_root_before_the_first_that_was_known_is_of_the_same_chain() -> None:
    repo = chain(3, new_keys=False)
    machine = given(knows(repo, 3), repo, 1)
    hidden = repo.files.pop("2.root.json")
    machine.refused("root 3 is known already")
    repo.files["2.root.json"] = hidden
    still_protected(machine, repo)


@pytest.mark.parametrize("same_keys", [False, True])
@pytest.mark.parametrize(("mine", "other"), [(3, 1), (3, 2), (3, 3), (2, 3), (1, 1), (1, 4)])
def test_a_root_of_another_chain_is_followed_and_so_is_the_first_one_again(
    mine: int, other: int, same_keys: bool
) -> None:
    """`same_keys`: the new beginning has new root keys, and the old ones for all else, with lower numbers."""
    first = chain(mine)
    first.publish("timestamp", "timestamp", "timestamp", "timestamp")
    second = RepositorySimulator()
    if same_keys:
        for role in ("timestamp", "snapshot", "targets"):
            second.rotate(role)
            for signer in second.signers[role]:
                second.root.revoke_key(signer.public_key.keyid, role)
            second.signers[role] = first.signers[role]
            for signer in first.signers[role]:
                second.root.add_key(signer.public_key, role)
        second.publish("root", "targets", "snapshot", "timestamp", bump=False)
    second.add_target("stable", "stable/x", b"second")
    second.publish("stable", "snapshot", "timestamp")
    lengthen(second, other - 1)
    machine = knows(first)
    for start in {1, other}:
        given(machine, second, start)
        assert machine.target("stable/x") == b"second"
        assert machine.refresh().root.version == other
        still_protected(machine, second)
    given(machine, first, 1)
    assert machine.target("stable/x") == b"first"
    assert machine.refresh().root.version == mine
    still_protected(machine, first)


def test_no_server_makes_a_machine_forget() -> None:
    """It may serve another chain, hide roots, and find a cache that lost some: the given root is as before."""
    first, second = chain(3), chain(1)
    machine = knows(first)
    for n in (2, 3):
        del machine.cache[f"roots/{n}.json"]
    machine.repo = second
    before = dict(machine.cache)
    machine.refused("root 3 is known already|is signed by 0")
    assert machine.cache == before


def test_cut_off_anywhere_the_move_is_made_the_next_time() -> None:
    first, second = chain(3), chain(1)

    class Cut(type(knows(first).cache)):  # type: ignore[misc]
        left = 0

        def write(self, name: str, data: bytes) -> None:
            self.step()
            super().write(name, data)

        def forget(self, name: str) -> None:
            self.step()
            super().forget(name)

        def step(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Deaf

    for left in range(12):
        machine = knows(first)
        machine.cache = Cut(machine.cache)
        machine.cache.left = left
        given(machine, second, 1)
        with suppress(Deaf):
            machine.refresh()
        machine.cache.left = 99
        assert machine.target("stable/x") == b"first"
        assert machine.refresh().root == second.root


def test_a_damaged_newest_root_is_as_good_as_none() -> None:
    repo = chain(2)
    machine = knows(repo)
    machine.cache["root.json"] = b"{"
    assert machine.refresh().root.version == 2
    assert machine.cache["root.json"] == repo.files["2.root.json"]
    repo.files.pop("2.root.json")
    del machine.cache["roots/2.json"]
    with pytest.raises(Refused, match="root 2 is known already"):
        machine.refresh()
