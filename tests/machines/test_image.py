"""The image as artifacts: the same bits from the same inputs, what it must and must not hold, what other tools see."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packageurl import PackageURL

from orlop.built import BuiltImage, latest, read_manifest
from orlop.files import remove_tree
from orlop.image import build as builder
from orlop.image import runtime
from orlop.image.contents.licences import common
from orlop.image.seal import Sealed
from orlop.image.unpacked import unpacked
from orlop.model.disk.own import IMAGE_DISK
from orlop.model.words.version import Version
from orlop.publish.content import sbom
from orlop.sdk.run import sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace
from simulators.outside import spdx_trouble

pytestmark = pytest.mark.machines


@pytest.fixture(scope="module")
def about(image: Path) -> dict[str, Any]:
    return dict(read_manifest(image).about)


@pytest.fixture(scope="module")
def sealed(image: Path, about: dict[str, Any]) -> Sealed:
    return Sealed(image, Version.parse(about["version"]), about["roothash"])


AGAIN = r"""
import json, os, sys
from pathlib import Path
from orlop.image.build import make_image
from orlop.model.words.version import Version
from orlop.steps import Steps
from orlop.workspace import Workspace

assert os.geteuid() == 1000 and "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
root, state, out, version, inputs = sys.argv[1:]
assert Path(sys.modules["orlop.image.build"].__file__).is_relative_to(root)
make_image(Workspace(Path(root), Path(state)), Steps(quiet=True), Path(out), Version.parse(version), inputs)
"""


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
    def again(folder: Path) -> None:
        version = Version.parse(about["version"])
        builder.make_image(elsewhere, Steps(quiet=True), folder, version, about["inputs"])

    assert_same_bits(about, elsewhere.state / "out", again)


def assert_same_bits(about: dict[str, Any], folder: Path, build: Callable[[Path], None]) -> None:
    """`build` makes the image once more in `folder`."""

    def again() -> dict[str, Any]:
        remove_tree(folder)
        folder.mkdir()
        build(folder)
        return dict(read_manifest(folder).about)

    second = again()
    first = about if about["packages"] == second["packages"] else second  # the archive moved on since `about` was built
    if first is second:
        second = again()
    assert second["packages"] == first["packages"]
    assert second["sha256"] == first["sha256"]
    assert second["roothash"] == first["roothash"]


@pytest.fixture
def copied(ws: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the sources at another path, and a state folder that shares only the SDK. Downloaded packages are there
    as other files, not the tree that was made of them.
    """  # fmt: skip
    root, state = tmp_path / "another" / "path", tmp_path / "state"
    for name in ("orlop", "os"):
        shutil.copytree(ws.root / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ws.root / "LICENSE", root)
    (state / "cache").mkdir(parents=True)
    (state / "sdk").symlink_to(ws.sdk.resolve())
    packages = ws.cache / "mkosi-packages"
    packages.mkdir(parents=True, exist_ok=True)
    shutil.copytree(packages, state / "cache/mkosi-packages", symlinks=True)
    yield Workspace(root, state)
    remove_tree(tmp_path)


@pytest.mark.long
def test_the_same_bits_whoever_builds(about: dict[str, Any], copied: Workspace) -> None:
    """From another path, by a user without rights, with another umask, locale, time zone, home and cache."""

    def again(folder: Path) -> None:
        user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]  # whoever runs this is its user 1000
        subprocess.run(
            [*user, sys.executable, "-c", AGAIN, copied.root, copied.state, folder, about["version"], about["inputs"]],
            check=True, cwd=copied.state, umask=0o077,
            env={
                **os.environ, "PYTHONPATH": str(copied.root), "HOME": str(copied.state),
                "LC_ALL": "tr_TR.ISO-8859-9", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7",
            },
        )  # fmt: skip

    assert_same_bits(about, copied.state / "out", again)


@pytest.fixture(scope="module")
def usr(ws: Workspace, image: Path) -> Path:
    """The image's /usr as it is in the image."""
    return unpacked(ws, Steps(quiet=True), image.name).usr


def test_every_program_and_module_in_the_image_belongs_to_a_component(usr: Path, image: Path) -> None:
    """Looked for in the image itself; what `contents.json` says of a file is true of it."""
    contents = BuiltImage.read(image).contents
    components = {component.key: component for component in contents.components}
    found = 0
    for folder, _, names in os.walk(usr):
        for path in (Path(folder) / name for name in names):
            if path.is_symlink() or not path.is_file():
                continue
            raw = path.read_bytes()
            file = contents.files[f"usr/{path.relative_to(usr)}"]
            assert (file.size, file.digest) == (len(raw), hashlib.sha256(raw).hexdigest())
            if raw[:4] == b"\x7fELF" or path.suffix in (".py", ".pyc"):
                assert file.component in components, path
                found += 1
    assert found > 1000
    assert len([path for path in contents.files if path.startswith("usr/")]) == sum(
        len(names) + sum((Path(folder) / name).is_symlink() for name in folders)
        for folder, folders, names in os.walk(usr)
    )


def test_where_well_known_files_come_from(image: Path) -> None:
    contents = BuiltImage.read(image).contents
    private = "usr/lib/orlop/runtime/usr/lib/python3.13"
    for path, component, licence in (
        ("usr/lib/orlop/ignition/ignition", "deb:ignition", "Apache-2.0"),
        ("usr/lib/orlop/runtime/usr/bin/python3.13", "deb:python3.13-minimal", "PSF-2.0"),
        (f"{private}/os.pyc", "deb:libpython3.13-minimal", "PSF-2.0"),
        (f"{private}/ctypes/__init__.pyc", "deb:libpython3.13-stdlib", "PSF-2.0"),
        (f"{private}/tuf/api/metadata.pyc", "pypi:tuf", "Apache-2.0 OR MIT"),
        (f"{private}/orlop/node/__init__.py", "own:orlop", "Apache-2.0"),
        ("usr/bin/podman", "deb:podman", "Apache-2.0"),
        ("usr/lib/systemd/systemd", "deb:systemd", "LGPL-2.1-or-later"),
        ("efi/EFI/BOOT/BOOTX64.EFI", "deb:systemd-boot-efi", "LGPL-2.1-or-later"),
    ):
        assert contents.files[path].component == component, path
        assert licence in next(c.licence for c in contents.components if c.key == component)
    podman = next(c for c in contents.components if c.name == "podman")
    assert "golang-1.24" in {source.name for source in podman.built_from}


def test_the_licences_of_all_are_known_and_their_texts_are_in_the_image(ws: Workspace, usr: Path, image: Path) -> None:
    contents = BuiltImage.read(image).contents
    debians = {path.name for path in (ws.sdk / "usr/share/common-licenses").iterdir()}
    assert contents.known_licences()["unknown"] == 0
    for component in contents.components:
        folder = f"python-{component.name}" if component.kind == "pypi" else component.name
        texts = [path.read_text(errors="replace") for path in (usr / "share/doc" / folder).iterdir()]
        assert any(text.strip() for text in texts), component
        for name in debians.intersection(common("\n".join(texts))):
            assert (usr / "share/common-licenses" / name).is_file(), (component, name)


def test_an_outside_validator_finds_nothing_wrong_in_the_sbom(image: Path, tmp_path: Path) -> None:
    path = tmp_path / "sbom.spdx.json"
    document = sbom.spdx(BuiltImage.read(image))
    path.write_bytes(sbom.encode(document))
    assert spdx_trouble(path) == ""
    for package in document["packages"][1:]:
        locator = package["externalRefs"][0]["referenceLocator"]
        assert PackageURL.from_string(locator).to_string() == locator


def test_what_the_image_must_and_must_not_hold(about: dict[str, Any]) -> None:
    assert about["setuid"] == []
    assert about["interpreters"] == ["sh"]
    assert len(about["executables"]) <= 205
    assert about["payload_bytes"] <= 140_000_000
    gone = {"apt", "apt-get", "dpkg", "perl", "python3", "bash", "gcc", "ld", "podman-testing"}
    assert not gone & set(about["executables"])
    assert about["runtime"]["bytes"] <= 10_500_000  # with the control plane's web server and the scheduler
    assert "_hashlib" in about["runtime"]["modules"]
    assert set(about["runtime"]["third_party"]) == runtime.THIRD_PARTY
    assert not [
        m for m in about["runtime"]["modules"] if m.partition(".")[0] in ("cryptography", "requests", "urllib3")
    ]
    assert {"orlop-health.service", "systemd-networkd.service"} <= set(about["units"])
    assert not {"ssh.service", "ssh.socket", "podman.socket"} & set(about["units"])


def test_the_verity_tree_checks_the_usr_image_and_nothing_else(ws: Workspace, sealed: Sealed, tmp_path: Path) -> None:
    def verify(usr: Path) -> str:
        argv = ["sh", "-c", f"veritysetup verify {usr} {sealed.verity} {sealed.root_hash} 2>&1; echo code=$?"]
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
    assert sealed.disk.stat().st_size % (1 << 30) == 0, "clouds take disks of whole GiB"
    assert table["id"].lower() == parts[0][1] == str(IMAGE_DISK)
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
@pytest.mark.parametrize("moment", ["Installing packages", pytest.param("Sealing /usr", marks=pytest.mark.long)])
def test_ctrl_c_leaves_nothing_half_made(ws: Workspace, moment: str) -> None:
    version = "20000101.1"
    argv = [sys.executable, "-m", "orlop", "image", "build", "--version", version]
    before = latest(ws)
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
    assert latest(ws) == before
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
    assert {"podman", "crun", "netavark", "systemd", "ca-certificates", "ignition", "systemd-boot-efi"} <= names
    assert not names & {"bash", "apt", "dpkg", "perl-base", "mawk", "initramfs-tools"}, "their files are gone"
