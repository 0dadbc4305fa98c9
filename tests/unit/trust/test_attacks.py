"""Attacks on a machine's trust, one a test: what the attacker does, and that the machine keeps what it knew."""

from __future__ import annotations

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile

from orlop.net.errors import Unreachable
from orlop.trust import client
from orlop.trust.cache import MemoryCache
from orlop.trust.errors import Expired, Refused
from simulators.repository import START, RepositorySimulator, unreachable
from tests.unit.trust.machines import DAY, Machine, release


def test_what_is_asked_for_and_in_which_order(repo: RepositorySimulator) -> None:
    machine = Machine(repo)
    machine.target("stable/x")
    assert repo.asked()[:-1] == ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "2.stable.json"]
    machine.target("stable/x")
    assert repo.asked()[:-1] == ["2.root.json", "timestamp.json"]
    release(repo)
    assert machine.target("stable/x") == b"second"
    assert repo.asked()[:-1] == ["2.root.json", "timestamp.json", "3.snapshot.json", "3.stable.json"]


def test_freeze(machine: Machine) -> None:
    """The server goes on showing what it had. It is found out when its time is over."""
    machine.now += 29 * DAY
    assert machine.target("stable/x") == b"first"
    machine.now += 2 * DAY
    machine.refused("is good until", Expired)


def test_rollback_of_the_timestamp(machine: Machine, repo: RepositorySimulator) -> None:
    old = repo.files["timestamp.json"]
    release(repo)
    machine.target("stable/x")
    repo.files["timestamp.json"] = old
    machine.refused("sent timestamp 2, and 3 is known")


def test_rollback_of_the_snapshot_by_who_has_the_timestamp_key(machine: Machine, repo: RepositorySimulator) -> None:
    release(repo)
    machine.target("stable/x")
    repo.snapshot.version = 1
    repo.publish("timestamp")
    machine.refused("sent snapshot 1, and 3 is known")


def test_rollback_of_the_targets_by_who_has_both_online_keys(machine: Machine, repo: RepositorySimulator) -> None:
    repo.publish("targets", "snapshot", "timestamp")
    machine.refresh()
    repo.targets.version -= 1
    repo.publish("snapshot", "timestamp")
    machine.refused("sent targets 2, and 3 is known")


def test_rollback_of_a_channel_by_who_has_both_online_keys(machine: Machine, repo: RepositorySimulator) -> None:
    release(repo)
    assert machine.target("stable/x") == b"second"
    repo.delegated["stable"].version -= 1
    repo.publish("snapshot", "timestamp")
    machine.refused("sent stable 2, and 3 is known")


def test_a_role_that_vanishes_from_the_snapshot(machine: Machine, repo: RepositorySimulator) -> None:
    del repo.delegated["beta"], repo.snapshot.meta["beta.json"]
    repo.publish("snapshot", "timestamp")
    machine.refused("has lost beta.json")


def test_rollback_of_the_root_by_who_hides_it_from_a_cache_that_lost_some(
    machine: Machine, repo: RepositorySimulator
) -> None:
    repo.publish("root", "root", "timestamp")
    assert machine.refresh().root.version == 3
    del machine.cache["roots/2.json"]
    repo.instead["2.root.json"] = lambda _path, _most: None
    with pytest.raises(Refused, match="root 3 is known already"):
        machine.refresh()
    del repo.instead["2.root.json"]
    assert machine.refresh().root.version == 3


def test_an_image_with_newer_root_keys_needs_no_chain(machine: Machine, repo: RepositorySimulator) -> None:
    repo.publish("root", "root", "root", "timestamp")
    machine.root = repo.files["3.root.json"]
    repo.asked()
    assert machine.refresh().root.version == 4
    assert repo.asked()[0] == "4.root.json"


def test_mix_and_match_of_two_releases(machine: Machine, repo: RepositorySimulator) -> None:
    """Each file is good for itself; together they were never published."""
    old = repo.files["2.stable.json"]
    release(repo)
    repo.files["3.stable.json"] = old
    machine.refused("the snapshot names stable 3, this is 2")


def test_mix_and_match_of_a_snapshot(machine: Machine, repo: RepositorySimulator) -> None:
    old = repo.files["2.snapshot.json"]
    release(repo)
    repo.files["3.snapshot.json"] = old
    machine.refused("the timestamp names snapshot 3, the server sent 2")


def test_one_channel_cannot_speak_for_another(machine: Machine, repo: RepositorySimulator) -> None:
    repo.add_target("alpha", "stable/y", b"evil")
    repo.publish("alpha", "snapshot", "timestamp")
    assert machine.target("stable/y") is None


def test_the_metadata_of_one_role_is_not_that_of_another(machine: Machine, repo: RepositorySimulator) -> None:
    release(repo)
    repo.files["3.stable.json"] = repo.files["1.alpha.json"]
    machine.refused("stable 1 is signed by 0 of the 1 keys")
    repo.files["3.snapshot.json"] = repo.files["timestamp.json"]
    machine.cache.pop("snapshot.json")
    machine.refused("the metadata of snapshot is of type timestamp")


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "3.snapshot.json", "3.stable.json"])
def test_endless_data(machine: Machine, repo: RepositorySimulator, name: str) -> None:
    release(repo)
    asked: list[int] = []

    def endless(path: str, most: int) -> bytes | None:
        asked.append(most)
        raise Refused(f"{path} is longer than the {most} bytes it may have")

    repo.instead[name] = endless
    machine.refused("longer than")
    assert asked[0] <= 2 << 20


def test_a_target_of_the_wrong_length_or_content(machine: Machine, repo: RepositorySimulator) -> None:
    name = next(n for n in repo.files if n.startswith("targets/"))
    for wrong in (b"fir", b"first+", b"FIRST", b""):
        repo.files[name] = wrong
        machine.refused("is not what was signed|longer than")


def test_a_target_too_large_to_read_is_not_asked_for(machine: Machine, repo: RepositorySimulator) -> None:
    repo.add_target("stable", "stable/x", b"x")
    repo.delegated["stable"].targets["stable/x"].length = 1 << 40
    repo.publish("stable", "snapshot", "timestamp")
    machine.refused("at most")
    assert not [n for n in repo.asked() if n.startswith("targets/")]


@pytest.mark.parametrize("name", ["2.root.json", "timestamp.json", "3.snapshot.json", "3.stable.json"])
def test_a_server_that_stops_answering(machine: Machine, repo: RepositorySimulator, name: str) -> None:
    release(repo)
    repo.instead[name] = unreachable
    machine.refused("nobody answers", Unreachable)
    del repo.instead[name]
    assert machine.target("stable/x") == b"second"


@pytest.mark.parametrize("name", ["timestamp.json", "3.snapshot.json", "3.stable.json"])
def test_a_file_that_is_gone(machine: Machine, repo: RepositorySimulator, name: str) -> None:
    release(repo)
    del repo.files[name]
    machine.refused("the repository has no", Unreachable)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "stable"])
def test_a_key_nobody_gave(machine: Machine, repo: RepositorySimulator, role: str) -> None:
    """Metadata that is signed with the attacker's own key is refused for every role."""
    release(repo)
    repo.signers[role] = [CryptoSigner.generate_ed25519()]
    repo.publish(role, *(r for r in ("snapshot", "timestamp") if r != role))
    machine.refused("is signed by 0 of the 1 keys it needs")


def test_a_root_needs_old_and_new_keys(machine: Machine, repo: RepositorySimulator) -> None:
    old = repo.rotate("root")
    repo.publish("root")
    machine.refused("root 2 is signed by 0 of the 1")  # by the new one alone
    repo.put("root", repo.sign("root", old))
    machine.refused("root 2 is signed by 0 of the 1")  # by the old one alone
    repo.put("root", repo.sign("root", [*old, *repo.signers["root"]]))
    assert machine.refresh().root.version == 2


def test_a_root_that_skips_a_version(machine: Machine, repo: RepositorySimulator) -> None:
    repo.root.version = 2
    repo.publish("root")
    repo.files["2.root.json"] = repo.files["3.root.json"]
    machine.refused("root 1 is followed by one that calls itself 3")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "stable"])
def test_recovery_from_a_stolen_key(machine: Machine, repo: RepositorySimulator, role: str) -> None:
    """The thief publishes; the owner gives the role a new key; what the thief signed is worth nothing then."""
    delegator = "targets" if role == "stable" else "root"
    stolen = repo.rotate(role, delegator=delegator)
    repo.publish("root", "targets", "stable", "snapshot", "timestamp")
    assert machine.target("stable/x") == b"first"
    mine, repo.signers[role] = repo.signers[role], stolen
    repo.publish(*dict.fromkeys((role, "snapshot", "timestamp")))
    machine.refused(f"{role} .* is signed by 0 of the 1 keys")
    repo.signers[role] = mine
    repo.publish(*dict.fromkeys((role, "snapshot", "timestamp")))
    assert machine.target("stable/x") == b"first"


def test_fast_forward_of_the_timestamp_is_cured_by_a_new_key(machine: Machine, repo: RepositorySimulator) -> None:
    repo.timestamp.version = 1 << 40
    repo.publish("timestamp")
    machine.refresh()
    repo.timestamp.version = 2
    repo.publish("timestamp")
    machine.refused("a rollback")
    repo.rotate("timestamp")
    repo.publish("root", "timestamp")
    assert machine.refresh().timestamp.version == 4  # type: ignore[union-attr]


def test_fast_forward_of_the_snapshot_is_cured_by_new_keys(machine: Machine, repo: RepositorySimulator) -> None:
    repo.snapshot.version = 1 << 40
    repo.publish("snapshot", "timestamp")
    machine.refresh()
    repo.snapshot.version = 2
    repo.rotate("snapshot")
    repo.rotate("timestamp")
    repo.publish("root", "snapshot", "timestamp")
    assert machine.refresh().snapshot.version == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("role", ["targets", "stable"])
def test_fast_forward_of_a_targets_role_is_cured_by_a_new_snapshot_key(
    machine: Machine, repo: RepositorySimulator, role: str
) -> None:
    repo.targets_of(role).version = 1 << 40
    repo.publish(role, "snapshot", "timestamp")
    machine.target("stable/x")
    repo.targets_of(role).version = 2
    repo.publish(role, "snapshot", "timestamp")
    machine.refused(f"sent {role} 3, and .* is known")
    repo.rotate("snapshot")
    repo.publish("root", "snapshot", "timestamp")
    assert machine.target("stable/x") == b"first"
    assert machine.versions()[role] == 3


def test_a_version_without_measure_is_refused(machine: Machine, repo: RepositorySimulator) -> None:
    repo.timestamp.version = 1 << 60
    repo.publish("timestamp")
    machine.refused("a version without measure")


def test_one_of_two_root_keys_is_lost(repo: RepositorySimulator) -> None:
    """2 of 3 keys suffice to give a new set; fewer do not."""
    repo = RepositorySimulator(root_keys=3, threshold=2)
    machine = Machine(repo)
    machine.refresh()
    old = repo.rotate("root")
    repo.publish("root", also_by={"root": old[:1]})
    with pytest.raises(Refused, match="root 2 is signed by 1 of the 2 keys"):
        machine.refresh()
    repo.put("root", repo.sign("root", [*repo.signers["root"], *old[:2]]))
    assert machine.refresh().root.version == 2


def test_a_machine_that_slept_through_rotations(repo: RepositorySimulator) -> None:
    machine = Machine(repo)
    machine.refresh()
    for _ in range(3):
        old = {role: repo.rotate(role) for role in ("root", "snapshot", "timestamp")}
        repo.publish("root", also_by={"root": old["root"]})
        release(repo)
    assert machine.refresh().root.version == 4
    assert sorted(n for n in machine.cache if n.startswith("roots/")) == [
        "roots/2.json",
        "roots/3.json",
        "roots/4.json",
        "roots/given.json",
    ]


def test_one_key_under_two_names_is_one_key(repo: RepositorySimulator) -> None:
    repo = RepositorySimulator(root_keys=1)
    signer = repo.signers["timestamp"][0]
    twin = CryptoSigner(signer._private_key, signer.public_key)
    twin.public_key.keyid = "f" * 64
    repo.root.add_key(twin.public_key, "timestamp")
    repo.root.roles["timestamp"].threshold = 2
    repo.signers["timestamp"].append(twin)
    repo.publish("root", "timestamp")
    with pytest.raises(Refused, match="signed by 1 of the 2 keys"):
        Machine(repo).refresh()


def test_cached_role_is_verified_against_current_delegator(machine: Machine, repo: RepositorySimulator) -> None:
    """The delegation gets another key; the role's own metadata, cached and named by the snapshot, stays what it was."""
    repo.rotate("stable", delegator="targets")
    repo.publish("targets", "snapshot", "timestamp")
    machine.refused("stable 2 is signed by 0 of the 1 keys")
    repo.publish("stable", "snapshot", "timestamp")
    assert machine.target("stable/x") == b"first"


def test_a_role_loaded_for_one_delegator_is_verified_for_another(repo: RepositorySimulator) -> None:
    """alpha and beta both delegate to `shared`, with different keys; what alpha's key signed is not beta's."""
    repo.delegate("alpha", "shared", ["*/*"])
    repo.publish("targets", "alpha", "beta", "shared", "snapshot", "timestamp")
    repo.targets.delegations.roles["alpha"].paths = ["*/*"]  # type: ignore[index,union-attr]
    repo.targets.delegations.roles["beta"].paths = ["*/*"]  # type: ignore[index,union-attr]
    good = repo.signers["shared"]
    repo.signers["shared"] = [CryptoSigner.generate_ed25519()]
    repo.delegate("beta", "shared", ["*/*"])
    repo.signers["shared"] = good
    repo.publish("targets", "alpha", "beta", "snapshot", "timestamp")
    machine = Machine(repo)
    t = machine.refresh()
    for delegator in ("alpha", "beta"):
        t = client.role(t, delegator, "targets", machine.cache, repo.fetch)
    t = client.role(t, "shared", "alpha", machine.cache, repo.fetch)
    with pytest.raises(Refused, match=r"shared .* is signed by 0 of the 1"):
        client.role(t, "shared", "beta", machine.cache, repo.fetch)


def test_a_terminating_delegation_ends_the_search(repo: RepositorySimulator) -> None:
    repo.delegate("targets", "alpha", ["x/*"], terminating=True)
    repo.delegate("targets", "beta", ["x/*"])
    repo.add_target("beta", "x/1", b"b")
    repo.publish("targets", "alpha", "beta", "snapshot", "timestamp")
    assert Machine(repo).target("x/1") is None


def test_delegations_in_a_circle_end(repo: RepositorySimulator) -> None:
    for by, to in (("targets", "alpha"), ("alpha", "beta"), ("beta", "alpha")):
        repo.delegate(by, to, ["x/*"])
    repo.publish("targets", "alpha", "beta", "snapshot", "timestamp")
    assert Machine(repo).target("x/1") is None


@pytest.mark.parametrize("name", ["../up", "a/b", "ünïcode", ".", "a b", "%41"])
def test_names_of_roles_do_not_lead_out_of_the_cache(repo: RepositorySimulator, name: str) -> None:
    repo.delegate("targets", name, ["x/*"])
    repo.add_target(name, "x/1", b"1")
    repo.publish("targets", name, "snapshot", "timestamp")
    machine = Machine(repo)
    assert machine.target("x/1") == b"1"
    assert all("/" not in n or n.startswith("roots/") for n in machine.cache)


def test_hashes_of_metadata_are_checked_when_they_are_there(repo: RepositorySimulator) -> None:
    repo.hashes = True
    repo.publish("targets", "stable", "snapshot", "timestamp")
    machine = Machine(repo)
    assert machine.target("stable/x") == b"first"
    repo.timestamp.snapshot_meta = MetaFile(4, None, {"sha256": "0" * 64})
    repo.publish("snapshot")
    repo.timestamp.version += 1
    repo.put("timestamp", repo.sign("timestamp", repo.signers["timestamp"]))
    machine.refused("the metadata of snapshot is not the one that was signed for")


def test_a_damaged_cache_is_as_good_as_none(machine: Machine) -> None:
    for name in list(machine.cache):
        machine.cache[name] = machine.cache[name][:-7]
    assert machine.target("stable/x") == b"first"
    for name in list(machine.cache):
        machine.cache[name] = b"\x00"
    assert machine.target("stable/x") == b"first"
    assert machine.versions()["stable"] == 2


def test_a_given_root_that_is_none(machine: Machine) -> None:
    for wrong in (
        b"",
        b"{}",
        machine.repo.files["timestamp.json"],
        machine.root.replace(b'"version":1', b'"version":2'),
    ):
        with pytest.raises(Refused, match="root"):
            client.refresh(wrong, MemoryCache(), machine.repo.fetch, START)
    assert machine.repo.asked() == []
