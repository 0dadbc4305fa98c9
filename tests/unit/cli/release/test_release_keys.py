"""`orlop release` as those who hold keys use it: the real command, real keys, several machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Timestamp

from orlop.cli.release.home import Home
from orlop.publish.keys import keys
from orlop.publish.roots import ceremony
from simulators.publisher import WORDS
from tests.unit.cli.release.releasing import good, refused, run


def contents(here: Path) -> dict[Path, bytes]:
    """Every file of the publisher's but its lock."""
    return {p: p.read_bytes() for p in (here / "release").rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_a_ceremony_of_three_machines(here: Path) -> None:
    """Anna, Ben and Cleo each make a root key; public halves go to the publisher, the draft goes round."""
    for name in ("anna", "ben", "cleo"):
        good("key", "new", f"root-{name}", "--out", name)
    public = [str(next((here / name).glob("*.pub"))) for name in ("anna", "ben", "cleo")]
    assert all(not keys.read(Path(p)).signs for p in public)
    good("init", *(word for p in public for word in ("--root-key", p)))
    refused("holds no release repository", "publish", "20261201.1")
    refused("has 0 of the 2 signatures", "root", "apply")
    travelling = here / "draft.json"
    travelling.write_bytes((here / "release/root.draft.json").read_bytes())
    for name in ("anna", "cleo"):
        assert f"root-{name}" in good("root", "sign", str(travelling), "--keys", name, "--home", f"{name}/none")
    assert "signed for the new root by 2 of 2" in good("root", "show", str(travelling))
    about = json.loads(run("root", "show", str(travelling), "--json").stdout)
    assert about["roles"]["root"]["threshold"] == 2
    assert [len(vote["signed"]) for vote in about["votes"]] == [2]
    assert all(key["new"] is False for key in about["roles"]["root"]["keys"])
    good("root", "apply", str(travelling))
    good("publish", "20261201.1")
    assert "✗" not in good("verify")
    assert not list((here / "release/root-keys").glob("*.key")) or not any(
        keys.read(p).signs for p in (here / "release/root-keys").glob("*.key")
    )
    # a root key is lost: the other two give a new set
    good("key", "new", "root-dora", "--out", "dora")
    fresh = [public[0], public[2], str(next((here / "dora").glob("*.pub")))]
    out = good("rotate-keys", "root", *(word for p in fresh for word in ("--key", p)))
    assert "to be signed by more root keys" in out
    refused("has 0 of the 2 signatures that the current root asks for", "root", "apply")
    travelling.write_bytes((here / "release/root.draft.json").read_bytes())
    for name, held, known in (
        ("anna", (), "as the draft has it"),
        ("cleo", ("--root", "release/root.json"), "yours or vouched for"),
    ):
        shown = good("root", "sign", str(travelling), "--keys", name, "--home", f"{name}/none", *held)
        assert f"  + {keys.read(Path(fresh[2])).keyid}" in shown
        assert f"  - {keys.read(Path(public[1])).keyid}" in shown
        assert known in shown
    refused("none.json cannot be read", "root", "show", "--root", "none.json")
    assert "signed for the current root by 0 of 2\n  not yet " in good("root", "show")
    good("root", "apply", str(travelling))
    assert "✗" not in good("verify")
    assert json.loads(run("show", "--json").stdout)["roles"][0]["version"] == 2


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "alpha", "root"])
def test_rotation_with_all_keys_at_hand(here: Path, role: str) -> None:
    good("init")
    good("publish", "20261201.1")
    before = {r["role"]: r["keys"] for r in json.loads(run("show", "--json").stdout)["roles"]}
    good("rotate-keys", role)
    after = {r["role"]: r["keys"] for r in json.loads(run("show", "--json").stdout)["roles"]}
    assert {name for name in before if before[name] != after[name]} == {role}
    retired = list((here / "release").rglob("retired/*.key"))
    assert len(retired) == len(before[role])
    good("publish", "20261202.1", "--patches", "0")
    assert "✗" not in good("verify")


def test_two_rotations_in_one_draft(here: Path) -> None:
    good("init")
    (here / "release/root-keys").rename(here / "safe")
    good("rotate-keys", "timestamp")
    good("rotate-keys", "snapshot")
    good("root", "sign", "--keys", "safe")
    good("root", "apply")
    about = json.loads(run("show", "--json").stdout)
    assert about["roles"][0]["version"] == 2
    assert not Home(here / "release").draft.exists()
    good("publish", "20261201.1")


def test_the_keys_of_a_draft_stay_while_another_rotation_is_made(here: Path) -> None:
    """After a theft: a role's draft is on its way to the root keys when a channel gets a new key at once."""
    good("init")
    (here / "release/root-keys").rename(here / "safe")
    good("rotate-keys", "snapshot")
    good("rotate-keys", "root")
    good("rotate-keys", "alpha")
    assert [p.name[:5] for p in (here / "release").rglob("retired/*.key")] == ["alpha"]
    good("root", "sign", "--keys", "safe")
    good("root", "apply")
    good("publish", "20261201.1")
    retired = sorted(p.name.partition("-")[0] for p in (here / "release").rglob("retired/*.key"))
    assert retired == ["alpha", "snapshot"]


@pytest.mark.parametrize("role", ["alpha", "timestamp", "root"])
def test_a_new_passphrase_for_new_keys(here: Path, role: str) -> None:
    """The first line is the new one; without the old one nothing can be signed, and nothing is left behind."""
    good("init")
    before = contents(here)
    (here / "pass").write_text("another horse\n")
    refused("the passphrase does not open the key", "rotate-keys", role)
    assert contents(here) == before
    (here / "pass").write_text(f"another horse\n\n{WORDS}\n")
    good("rotate-keys", role)
    made = keys.read(next(p for p in (here / "release").glob("*/*.key") if p not in before))
    keys.unlock(made, "another horse")
    good("publish", "20261201.1")
    assert "✗" not in good("verify")


def test_another_passphrase_for_keys_that_are_there(here: Path) -> None:
    good("init")
    paths = [str(p) for p in sorted((here / "release/keys").glob("*.key"))]
    before = [Path(p).read_bytes() for p in paths]
    (here / "pass").write_text(f"short\n{WORDS}\n")
    refused("the passphrase has 5 characters", "key", "passphrase", *paths)
    (here / "pass").write_text("another horse\n")
    refused("the passphrase does not open the key", "key", "passphrase", *paths)
    public = good("key", "public", paths[0]).split()[0]
    (here / "pass").write_text(f"another horse\n{WORDS}\n")
    refused("its private half is not in it", "key", "passphrase", *paths, public)
    assert [Path(p).read_bytes() for p in paths] == before
    assert good("key", "passphrase", *paths).split() == paths
    (here / "pass").write_text("another horse\n")
    assert {Path(p).stat().st_mode & 0o777 for p in paths} == {0o600}
    good("publish", "20261201.1")


def test_a_channel_is_added_and_removed(here: Path) -> None:
    good("init", "--channel", "stable")
    before = contents(here)
    assert "set to channel lts: find it" in good("channel", "add", "lts", "--dry-run")
    refused("there is a channel stable already", "channel", "add", "stable", "--dry-run")
    assert contents(here) == before
    (here / "pass").write_text("another horse\n")
    refused("the passphrase does not open the key targets", "channel", "add", "lts")
    assert contents(here) == before
    (here / "pass").write_text(WORDS)
    good("channel", "add", "lts")
    good("publish", "20261201.1", "--channel", "lts")
    assert good("show", "lts", "--json").count("20261201.1") == 1
    before = contents(here)
    assert "machines on channel lts: stay on what they run" in good("channel", "remove", "lts", "--dry-run")
    refused("channel lts has 1 version, and machines may follow it", "channel", "remove", "lts")
    assert contents(here) == before
    good("channel", "remove", "lts", "--yes")
    assert [p.name[:4] for p in (here / "release/keys/retired").iterdir()] == ["lts-"]
    refused("the repository has no channel lts", "publish", "20261201.1", "--channel", "lts")
    assert "✗" not in good("verify")


def test_a_channel_with_a_key_from_elsewhere(here: Path) -> None:
    """Its public half alone cannot begin it: the channel's first document is signed by it."""
    good("init", "--channel", "stable")
    good("key", "new", "lts", "--out", "stick")
    key, public = (str(next((here / "stick").glob(f"*.{kind}"))) for kind in ("key", "pub"))
    before = contents(here)
    refused("0 of them can sign here", "channel", "add", "lts", "--key", public)
    assert contents(here) == before
    good("channel", "add", "lts", "--key", public, "--keys", "stick")
    refused("0 of them can sign here", "publish", "20261201.1", "--channel", "lts")
    good("publish", "20261201.1", "--channel", "lts", "--keys", "stick")
    good("rotate-keys", "stable", "--key", key)


def roles() -> dict[str, dict[str, Any]]:
    return {r["role"]: r for r in json.loads(run("show", "--json").stdout)["roles"]}


def private(here: Path) -> list[Path]:
    """Root keys with their private halves in the publisher's folder."""
    return [p for p in (here / "release").glob("root-keys/**/*.key") if keys.read(p).signs]


def test_the_root_is_renewed_with_the_keys_it_has(here: Path) -> None:
    good("init")
    before = roles()
    (here / "release/root-keys").rename(here / "safe")
    assert "to be signed by more root keys" in good("root", "renew")
    good("root", "sign", "--keys", "safe")
    good("root", "apply")
    after = roles()
    assert after["root"]["version"] == 2
    assert after["root"]["expires"] >= before["root"]["expires"]
    assert {name: r["keys"] for name, r in after.items()} == {name: r["keys"] for name, r in before.items()}
    assert "root 3" in good("root", "renew", "--keys", "safe")
    assert roles()["root"]["version"] == 3
    assert not private(here)
    assert not list((here / "release").rglob("retired"))


def test_a_renewal_joins_what_is_begun(here: Path) -> None:
    good("init")
    old = roles()["snapshot"]["keys"]
    (here / "release/root-keys").rename(here / "safe")
    good("rotate-keys", "snapshot")
    good("root", "renew", "--keys", "safe")
    assert roles()["root"]["version"] == 2
    assert roles()["snapshot"]["keys"] != old
    good("publish", "20261201.1")


def test_private_halves_of_root_keys_stay_on_their_sticks(here: Path) -> None:
    good("init")
    (here / "release/root-keys").rename(here / "safe")
    good("key", "new", "root-dora", "--out", "dora")
    given = [*sorted((here / "safe").glob("*.key"))[:2], *(here / "dora").glob("*.key")]
    good("rotate-keys", "root", *(word for p in given for word in ("--key", str(p))), "--keys", "safe")
    assert roles()["root"]["version"] == 2
    assert len(list((here / "release/root-keys").glob("*.key"))) == 3
    assert not private(here)


def test_several_roles_get_new_keys_in_one_root(here: Path) -> None:
    good("init")
    before = roles()
    for words in (["snapshot", "alpha"], ["snapshot", "snapshot"], ["snapshot", "timestamp", "--threshold", "1"]):
        refused("several roles at once are of root, targets", "rotate-keys", *words)
    good("rotate-keys", "snapshot", "timestamp", "root")
    after = roles()
    assert after["root"]["version"] == 2
    assert {name for name in before if before[name]["keys"] != after[name]["keys"]} == {"snapshot", "timestamp", "root"}
    assert len(list((here / "release").rglob("retired/*.key"))) == 5
    good("publish", "20261201.1")
    assert "✗" not in good("verify")


def test_new_keys_after_a_thief_named_a_snapshot_that_does_not_exist(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    timestamp = Metadata[Timestamp].from_file(str(here / "release/repo/metadata/timestamp.json"))
    timestamp.signed.version = timestamp.signed.snapshot_meta.version = (1 << 53) - 1
    key = keys.read(next((here / "release/keys").glob("timestamp-*.key")))
    timestamp.sign(keys.unlock(key, WORDS))
    timestamp.to_file(str(here / "release/repo/metadata/timestamp.json"))
    refused("the repository has no snapshot.json", "renew")
    good("rotate-keys", "timestamp")
    good("renew")
    assert roles()["timestamp"]["version"] < 10
    assert "✗" not in good("verify")


def test_a_rotation_that_was_interrupted_says_how_to_go_on(here: Path) -> None:
    """Its key was lost, the root was written, and the power went before the timestamp was."""
    good("init")
    (here / "release/root-keys").rename(here / "safe")
    next((here / "release/keys").glob("timestamp-*.key")).unlink()
    good("rotate-keys", "timestamp")
    good("root", "sign", "--keys", "safe")
    draft = ceremony.decode((here / "release/root.draft.json").read_bytes(), "draft")
    (here / "release/repo/metadata/2.root.json").write_bytes(ceremony.as_published(draft))
    for words in (["rotate-keys", "timestamp"], ["renew"], ["publish", "20261201.1"]):
        refused("root 2 is in the repository without the timestamp after it", *words)
    good("root", "apply")
    good("publish", "20261201.1")
    assert "✗" not in good("verify")


def test_a_dry_run_of_what_changes_keys(here: Path) -> None:
    out = good("init", "--dry-run", "--channel", "stable")
    assert "release/repo would be a repository with the channels stable" in out
    assert "signed by 2 of 3 keys, made here" in out
    refused("4 of 3 root keys", "init", "--dry-run", "--threshold", "4")
    assert not (here / "release").exists()
    good("init")
    good("key", "new", "other", "--out", "other")
    other = str(next((here / "other").glob("*.pub")))
    before = contents(here)
    (here / "pass").unlink()  # nothing is signed
    on = "go on to root 2 at their next check"
    for words, said in (
        (["rotate-keys", "timestamp"], ["timestamp: as many new keys as it has, made here", on]),
        (["rotate-keys", "snapshot", "--key", other], [f"  + {keys.read(Path(other)).keyid}", on]),
        (["rotate-keys", "alpha"], ["take the channel's new key"]),
        (["root", "renew"], ["root 2, good until", on]),
    ):
        out = good(*words, "--dry-run")
        assert all(line in out for line in ["what machines will do:", *said]), out
        assert contents(here) == before


def test_a_dry_run_of_a_draft(here: Path) -> None:
    good("init")
    (here / "release/root-keys").rename(here / "safe")
    next((here / "release/keys").glob("timestamp-*.key")).unlink()
    good("rotate-keys", "timestamp")
    before = contents(here)
    refused("root 2 has 0 of the 2 signatures", "root", "apply", "--dry-run")
    assert contents(here) == before
    good("root", "sign", "--keys", "safe")
    before = contents(here)
    out = good("root", "apply", "--dry-run")
    assert "are refused when they ask between root and timestamp, a moment apart" in out
    assert contents(here) == before
    assert "are refused" in good("root", "apply")


def test_a_number_is_forgotten_with_its_key_and_not_before(here: Path) -> None:
    """The new timestamp key is in a draft yet: a channel's key cannot be replaced at once, and nothing changes."""
    good("init")
    (here / "release/root-keys").rename(here / "safe")
    timestamp = Metadata[Timestamp].from_file(str(here / "release/repo/metadata/timestamp.json"))
    timestamp.signed.version = (1 << 53) - 1
    timestamp.sign(keys.unlock(keys.read(next((here / "release/keys").glob("timestamp-*.key"))), WORDS))
    timestamp.to_file(str(here / "release/repo/metadata/timestamp.json"))
    assert "forget the number of timestamp" in good("rotate-keys", "timestamp")
    before = (here / "release/repo/metadata/timestamp.json").read_bytes()
    refused("timestamp has the number 9007199254740991: somebody else signs", "rotate-keys", "alpha")
    assert (here / "release/repo/metadata/timestamp.json").read_bytes() == before
    good("root", "sign", "--keys", "safe")
    good("root", "apply")
    good("rotate-keys", "alpha")
    assert "✗" not in good("verify")
