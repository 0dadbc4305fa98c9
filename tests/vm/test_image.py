"""The image as artifacts: the same bits from the same inputs, what it must and must not hold, what other tools see."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orlop.files import remove_tree
from orlop.image import build as builder
from orlop.image.seal import Sealed
from orlop.model.version import Version
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def about(image: Path) -> dict[str, Any]:
    return builder.manifest(image)


@pytest.fixture(scope="module")
def sealed(image: Path, about: dict[str, Any]) -> Sealed:
    return Sealed(image, Version.parse(about["version"]), about["roothash"])


@pytest.fixture
def elsewhere(ws: Workspace) -> Iterator[Workspace]:
    """Another state folder that shares only the SDK and downloaded packages: nothing built before can leak in."""
    state = ws.state / "test-rebuild"
    remove_tree(state)
    (state / "cache").mkdir(parents=True)
    (state / "sdk").symlink_to(ws.sdk)
    (ws.cache / "mkosi-packages").mkdir(parents=True, exist_ok=True)
    (state / "cache/mkosi-packages").symlink_to(ws.cache / "mkosi-packages")
    yield Workspace(ws.root, state)
    remove_tree(state)


def test_same_inputs_same_bits(about: dict[str, Any], elsewhere: Workspace) -> None:
    version = Version.parse(about["version"])

    def again() -> dict[str, Any]:
        folder = elsewhere.state / "out"
        remove_tree(folder)
        folder.mkdir()
        builder.make_image(elsewhere, Steps(quiet=True), folder, version, about["inputs"])
        return builder.manifest(folder)

    second = again()
    first = about if about["packages"] == second["packages"] else second  # the archive moved on since `about` was built
    if first is second:
        second = again()
    assert second["packages"] == first["packages"]
    assert second["sha256"] == first["sha256"]
    assert second["roothash"] == first["roothash"]


def test_what_the_image_must_and_must_not_hold(about: dict[str, Any]) -> None:
    assert about["setuid"] == []
    assert about["interpreters"] == ["sh"]
    assert len(about["executables"]) <= 250
    assert about["payload_bytes"] <= 140_000_000
    gone = {"apt", "apt-get", "dpkg", "perl", "python3", "bash", "gcc", "ld", "podman-testing"}
    assert not gone & set(about["executables"])
    assert about["runtime"]["bytes"] <= 14_000_000
    assert "_hashlib" in about["runtime"]["modules"]
    assert set(about["runtime"]["third_party"]) == {"securesystemslib", "tuf"}
    assert not [
        m for m in about["runtime"]["modules"] if m.partition(".")[0] in ("cryptography", "requests", "urllib3")
    ]
    assert {"orlop-health.service", "systemd-networkd.service"} <= set(about["units"])
    assert not {"ssh.service", "ssh.socket", "podman.socket"} & set(about["units"])


def test_the_verity_tree_checks_the_usr_image_and_nothing_else(ws: Workspace, sealed: Sealed, tmp_path: Path) -> None:
    def verify(usr: Path) -> str:
        argv = ["sh", "-c", f"veritysetup verify {usr} {sealed.verity} {sealed.roothash} 2>&1; echo code=$?"]
        return sdk_run(ws, argv, what="verifying", binds=[tmp_path])

    assert verify(sealed.usr).strip().endswith("code=0")
    damaged = tmp_path / "usr.raw"
    shutil.copyfile(sealed.usr, damaged)
    with damaged.open("r+b") as f:
        f.seek(sealed.usr.stat().st_size // 2)
        byte = f.read(1)
        f.seek(-1, 1)
        f.write(bytes([byte[0] ^ 1]))
    assert "code=0" not in verify(damaged)


def test_the_disk_keeps_the_contract_of_the_updates(ws: Workspace, sealed: Sealed) -> None:
    table = json.loads(sdk_run(ws, ["sfdisk", "--json", sealed.disk], what="reading the GPT"))["partitiontable"]
    parts = [(p["name"], p["uuid"].lower()) for p in table["partitions"]]
    assert [name for name, _ in parts] == [
        "esp", sealed.version.usr_label, sealed.version.verity_label, "_empty", "_empty",
    ]  # fmt: skip
    assert parts[1][1] == str(sealed.usr_uuid)
    assert parts[2][1] == str(sealed.verity_uuid)
    sizes = [p["size"] * table["sectorsize"] for p in table["partitions"]]
    assert sizes[0] >= 512 << 20
    assert sizes[1] == sizes[3] >= 1 << 30
    assert sizes[2] == sizes[4]
    assert sizes[2] >= sizes[1] // 120, "the tree of a full slot must fit"
    start = table["partitions"][0]["start"] * table["sectorsize"]
    listing = sdk_run(ws, ["mdir", "-b", "-i", f"{sealed.disk}@@{start}", "::EFI/Linux"], what="reading the ESP")
    assert sealed.version.uki_name in listing


def test_sysupdate_reads_our_slots(ws: Workspace, sealed: Sealed, tmp_path: Path) -> None:
    """systemd-sysupdate, which knows nothing of us, finds the installed version by the labels alone."""
    source = tmp_path / "source"
    source.mkdir()
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    for number, (kind, suffix) in enumerate((("usr", ""), ("usr-verity", "_verity")), 10):
        (definitions / f"{number}-{kind}.transfer").write_text(
            f"[Source]\nType=regular-file\nPath={source}\nMatchPattern=orlop_@v.{kind}.raw\n"
            f"[Target]\nType=partition\nPath={sealed.disk}\nMatchPattern=orlop_@v{suffix}\nMatchPartitionType={kind}\n"
        )
    argv: list[str | Path] = [
        "/usr/lib/systemd/systemd-sysupdate",
        "--definitions",
        definitions,
        "--verify=no",
        "--json=short",
        "list",
    ]
    out = sdk_run(ws, argv, what="asking systemd-sysupdate", binds=[tmp_path])
    found = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert found["current"] == str(sealed.version)
    assert found["all"] == [str(sealed.version)]


@pytest.mark.usefixtures("image")  # made first: its cache is what makes this quick
@pytest.mark.parametrize("moment", ["Installing packages", "Sealing /usr"])
def test_ctrl_c_leaves_nothing_half_made(ws: Workspace, moment: str) -> None:
    version = "20000101.1"
    argv = [sys.executable, "-m", "orlop", "image", "build", "--version", version]
    before = builder.latest(ws)
    with subprocess.Popen(argv, cwd=ws.root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as build:
        assert build.stderr is not None
        for line in build.stderr:
            if line.strip() == f"‣ {moment}":
                break
        time.sleep(2)  # into the step, so that its programs run
        build.send_signal(signal.SIGINT)
        said = build.stderr.read()
    assert build.returncode == 130
    assert "interrupted" in said
    assert list(ws.images.glob(f"*{version}*")) == []
    assert builder.latest(ws) == before
    assert str(ws.images / f".making-{version}") not in processes()


def processes() -> str:
    """Every running program's command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def test_inspect_of_what_was_built(image: Path, about: dict[str, Any]) -> None:
    for key, path in (("usr_bytes", ".usr.raw"), ("verity_bytes", ".usr-verity.raw"), ("uki_bytes", ".efi")):
        assert about[key] == (image / f"orlop_{about['version']}{path}").stat().st_size
    assert about["payload_bytes"] == about["usr_bytes"] + about["verity_bytes"] + about["uki_bytes"]
    names = {p["name"] for p in about["packages"]}
    assert {"podman", "crun", "netavark", "systemd", "ca-certificates"} <= names
    assert not names & {"bash", "apt", "dpkg", "perl-base", "mawk", "initramfs-tools"}, "their files are gone"
