"""`orlop release` as a publisher uses it: the real command, real keys, small images."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orlop.publish.serve import server
from simulators.s3 import WHO, storing
from tests.unit.cli.release.releasing import good, refused, run, shown

REPOSITORY = Path(__file__).parents[4]


def test_a_release_from_its_first_key_to_its_last_channel(here: Path) -> None:
    out = good("init")
    assert "release/repo is a repository with the channels alpha, beta, stable" in out
    assert sorted(p.name for p in (here / "release").iterdir()) == ["keys", "memory", "repo", "root-keys", "root.json"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in (here / "release/keys").iterdir())
    assert "machines on an older version: go to 20261201.1 from" in good("publish", "20261201.1", "--waves", "at-once")
    out = good("publish", "20261202.1", "--patches", "0")
    assert "podman 5.4.2+ds1-2 → 5.4.2+ds1-2+deb13u1 (stable update)" in out
    assert "crun 1.21-1 is new" in out
    assert "machines on 20261201.1: go to 20261202.1 from" in out
    good("promote", "alpha", "beta", "--patches", "0")
    good("promote", "beta", "stable", "--waves", "urgent", "--patches", "0")
    assert [v["version"] for v in shown("stable")] == ["20261202.1"]
    assert "✗" not in good("verify", "--bytes")
    assert "20261202.1" in good("show")


def test_what_a_manager_says_of_a_channel(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    good("publish", "20261202.1", "--patches", "0")
    assert "20261202.1 is halted (it crashes)" in good("halt", "alpha", "--reason", "it crashes")
    assert shown()[0]["said"] == "halted: it crashes"
    good("resume", "alpha")
    good("wave", "alpha", "fast", "--group", "canary")
    good("floor", "alpha", "20261201.1", "--reason", "new keys")
    good("dead-end", "alpha", "20261201.1", "--reason", "cannot go on")
    assert shown()[1]["said"] == "floor: new keys; dead end: cannot go on"
    good("dead-end", "alpha", "20261201.1")
    good("floor", "alpha", "20261201.1")
    assert "go back to 20261201.1" in good("pull-back", "alpha", "--reason", "it crashes", "--waves", "1:100")
    assert shown()[0]["said"] == "pulled back to 20261201.1: it crashes; own waves for group canary"
    good("secure", "alpha", "20261201.1")
    refused("no version here is as new as that", "secure", "alpha", "20261202.1")
    assert "✗" not in good("verify")
    assert here.exists()


def test_a_dry_run_says_and_changes_nothing(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    before = {p: p.read_bytes() for p in (here / "release").rglob("*") if p.is_file()}
    for args in (
        ["publish", "20261202.1", "--dry-run"],
        ["promote", "alpha", "beta", "--dry-run"],
        ["halt", "alpha", "--reason", "x", "--dry-run"],
        ["gc", "--dry-run"],
    ):
        out = good(*args)
        assert "what machines on channel" in out or "would go" in out
    assert {p: p.read_bytes() for p in (here / "release").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["show"], "holds no release repository"),
        (["publish"], "holds no release repository"),
        (["verify"], "the root release/root.json cannot be read"),
        (["serve"], "holds no repository"),
        (["root", "show"], "there is no draft"),
        (["init", "--threshold", "4"], "4 of 3 root keys cannot be asked for"),
        (["init", "--channel", "root"], "is not a valid channel name"),
        (["init", "--root-key", "none.pub"], "there is no key none.pub"),
        (["key", "new", "a/b"], "is not a valid key name"),
    ],
)
def test_errors_without_a_repository(here: Path, args: list[str], message: str) -> None:
    refused(message, *args)
    assert not (here / "release").exists()


def test_errors_with_a_repository(here: Path) -> None:
    good("init")
    refused("is not empty", "init")
    refused("there is no image 20261209.1", "publish", "20261209.1")
    refused("the repository has no channel edge", "publish", "20261201.1", "--channel", "edge")
    refused("is not a valid plan of waves", "publish", "20261201.1", "--waves", "soon")
    refused("channel alpha has no version", "promote", "alpha", "beta")
    refused("there is no role edge", "rotate-keys", "edge")
    refused("there is no folder nowhere", "renew", "--keys", "nowhere")
    (here / "pass").write_text("another passphrase")
    refused("the passphrase does not open", "publish", "20261201.1")
    os.environ.pop("ORLOP_PASSPHRASE_FILE")
    refused("there is no terminal to ask for it", "publish", "20261201.1")


@pytest.mark.usefixtures("here")
def test_renewal_for_a_timer() -> None:
    good("init")
    first = json.loads(run("show", "--json").stdout)["roles"]
    good("renew")
    second = json.loads(run("show", "--json").stdout)["roles"]
    assert "timestamp would be renewed; it is good until" in good("renew", "--dry-run")
    assert json.loads(run("show", "--json").stdout)["roles"] == second
    versions = {r["role"]: r["version"] for r in second}
    assert versions["timestamp"] == {r["role"]: r["version"] for r in first}["timestamp"] + 1
    assert versions["targets"] == 1


def test_what_the_storage_damaged_is_stored_anew_from_the_image(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    good("promote", "alpha", "beta")
    whole = {p: p.read_bytes() for p in (here / "release/repo").rglob("*") if p.is_file()}
    blobs = sorted((here / "release/repo/blobs").iterdir())
    assert len(blobs) == 4  # usr, verity, UKI, SBOM
    for n, path in enumerate(blobs[1:]):
        path.unlink() if n == 0 else path.write_bytes(bytes(path.stat().st_size))
    refused("`orlop release repair`", "verify", "--bytes")
    refused("no channel has 20261202.1", "repair", "20261202.1")
    (here / "pass").unlink()  # no key is needed
    assert "3 blobs would be stored anew" in good("repair", "20261201.1", "--dry-run")
    assert "3 blobs were stored anew" in good("repair", "20261201.1")
    assert {p: p.read_bytes() for p in (here / "release/repo").rglob("*") if p.is_file()} == whole
    assert "✗" not in good("verify", "--bytes")
    assert "0 blobs were stored anew" in good("repair", "20261201.1")
    other = here / "other"
    shutil.copytree(here / "state/images/20261202.1", other)
    for path in other.iterdir():
        path.rename(other / path.name.replace("20261202.1", "20261201.1"))
    for path in other.glob("*.json"):
        path.write_text(path.read_text().replace("20261202.1", "20261201.1"))
    refused("is not the 20261201.1 that was published", "repair", str(other))


@pytest.mark.usefixtures("here")
def test_garbage() -> None:
    good("init")
    good("publish", "20261201.1", "--waves", "at-once")
    for _ in range(3):
        good("renew")
    assert "files, 0.0 MB would go" in good("gc", "--dry-run")
    assert "are gone" in good("gc", "--keep", "1")
    assert "✗" not in good("verify", "--bytes")
    assert "0 files" in good("gc")


def test_an_outsider_needs_an_address_and_the_first_root(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    made = server(here / "release/repo", "127.0.0.1", 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{made.server_address[1]}/"
        args = ("verify", url, "--root", "release/root.json", "--home", "none")
        assert "✓ channel alpha: 20261201.1" in good(*args, "--bytes")
        next((here / "release/repo/blobs").iterdir()).unlink()
        refused("of what it promises", *args)
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def test_a_repository_in_s3(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with storing() as (url, bucket):
        refused("there are no credentials for the storage", "init", "--storage", url)
        for name, value in (
            ("ACCESS_KEY_ID", WHO.key),
            ("SECRET_ACCESS_KEY", WHO.secret),
            ("SESSION_TOKEN", WHO.token),
        ):
            monkeypatch.setenv(f"AWS_{name}", value)
        refused("names no S3-style storage", "init", "--storage", "s3://bucket")
        good("init", "--storage", url)
        good("publish", "20261201.1")
        good("promote", "alpha", "stable")
        assert "✓ channel stable: 20261201.1" in good("verify", "--bytes")
        assert "os/metadata/timestamp.json" in bucket.objects
        assert "os/.lock" not in bucket.objects
        bucket.objects["os/.lock"] = (b"elsewhere 7 a-boot/pid:[1] 0123", {}, datetime(2026, 1, 1, tzinfo=UTC))
        assert "took over a lock that was left behind (elsewhere, process 7)" in good("renew")
        assert "os/.lock" not in bucket.objects
        refused("there is a repository already", "init", "--storage", url, "--home", "another")
    assert not (here / "another").exists()
    assert not (here / "release/repo").exists()


def test_serve_says_where_and_ends_when_told(here: Path) -> None:
    good("init")
    child = subprocess.Popen(
        [sys.executable, "-m", "orlop", "release", "serve", "--port", "0", "--home", str(here / "release")],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        with urllib.request.urlopen(url + "metadata/timestamp.json", timeout=10) as answer:
            assert json.load(answer)["signed"]["_type"] == "timestamp"
    finally:
        child.terminate()
        child.communicate(timeout=10)
    assert child.returncode == 143


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("reason", ["", "x" * 301, "one\ntwo"])
@pytest.mark.parametrize("edit", ["halt", "pull-back", "floor", "publish"])
def test_a_reason_that_machines_cannot_show_is_the_arguments_error(edit: str, reason: str) -> None:
    good("init")
    good("publish", "20261201.1", "--waves", "at-once")
    if edit == "publish":
        args = ["publish", "20261202.1", "--floor", reason, "--patches", "0"]
    else:
        args = [edit, "alpha", *(["20261201.1"] if edit == "floor" else []), "--reason", reason]
    if not reason and edit not in {"halt", "pull-back"}:
        good(*args)  # it says that there is none
        return
    done = run(*args)
    assert done.exit_code == 1
    assert "must be one line of 1 to 300 characters" in done.output
    assert "damaged" not in done.output


def test_a_group_and_notes_that_cannot_be_are_the_arguments_errors(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    refused("'Gr oup' is not a valid name of a group", "wave", "alpha", "fast", "--group", "Gr oup")
    (here / "notes").write_text("x" * 8001)
    refused("have 8001 characters", "publish", "20261202.1", "--notes", "notes", "--patches", "0")


@pytest.mark.usefixtures("here")
def test_whoever_does_not_answer_is_not_called_damaged() -> None:
    good("init")
    for place in ("http://127.0.0.1:9", "nowhere"):
        done = run("verify", place)
        assert done.exit_code == 1
        assert f"{place} could not be checked" in done.output
        assert "repair" not in done.output


def test_what_lists_says_it_as_json(here: Path) -> None:
    good("init")
    good("publish", "20261201.1")
    verified = json.loads(run("verify", "--json").stdout)
    assert verified["good"]
    assert {"what", "good", "soon", "unreached"} == verified["findings"][0].keys()
    stray = here / "release/repo/blobs" / ("ab" * 32)
    stray.write_bytes(b"stray")
    listed = {"bytes": 5, "files": [{"path": f"blobs/{'ab' * 32}", "bytes": 5}]}
    assert json.loads(run("gc", "--dry-run", "--json").stdout) == {"removed": False, **listed}
    assert stray.exists()
    assert json.loads(run("gc", "--json").stdout) == {"removed": True, **listed}
    blob = max((here / "release/repo/blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"broken")
    assert not json.loads(run("verify", "--json").stdout)["good"]
    assert json.loads(run("repair", "20261201.1", "--json").stdout) == {"stored": True, "blobs": [f"blobs/{blob.name}"]}
    good("verify")


def test_two_at_once_make_one_repository(here: Path) -> None:
    argv = [sys.executable, "-m", "orlop", "release", "init"]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    both = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    said = [child.communicate(timeout=60)[1] for child in both]
    assert sorted(child.returncode for child in both) == [0, 1], said
    assert any("is in use by another orlop process" in err or "is not empty" in err for err in said)
    good("verify")
    assert not list(here.glob(".making-*"))
