"""Versions, folders and what `orlop image` says, in a workspace of the test; building is in tests/machines."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orlop import built
from orlop.cli.image.command import listed, rows
from orlop.errors import BadInput, Busy
from orlop.files import locked
from orlop.image import build, runtime
from orlop.image.factory import make_factory, os_release
from orlop.image.inspect import enabled_units, setuid_files
from orlop.image.interpreters import interpreters
from orlop.image.seal import Sealed, command_line, command_words, seed
from orlop.model.words.version import Version
from orlop.sdk import tree as sdk
from orlop.steps import Steps
from orlop.workspace import Workspace

V = Version.parse
ABOUT: dict[str, Any] = {
    "version": "20261201.1", "build_id": "b", "inputs": "i", "kernel": "6.12", "roothash": "00",
    "payload_bytes": 3_000_000,
    "usr_bytes": 1, "verity_bytes": 1, "uki_bytes": 1, "initrd_bytes": 1, "image_bytes": 1, "image_zstd_bytes": 1,
    "packages": [{"name": "a", "version": "1"}], "executables": ["sh"], "setuid": [],
    "interpreters": ["sh"], "units": [],
    "runtime": {"version": "3.13.5", "bytes": 4_200_000, "modules": ["sys", "json"], "third_party": []},
}  # fmt: skip


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "os").mkdir()
    return Workspace(tmp_path, tmp_path / "state")


def add_image(ws: Workspace, version: str) -> Path:
    folder = ws.images / version
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(ABOUT | {"version": version}))
    built.point_latest(ws, V(version))
    return folder


def test_the_first_image_of_a_day_is_number_one_and_the_next_one_more(ws: Workspace) -> None:
    today = datetime.now(UTC).date()
    assert build.next_version(ws) == Version(today, 1)
    add_image(ws, str(Version(today, 7)))
    assert build.next_version(ws) == Version(today, 8)


def test_a_version_is_never_changed_and_two_builds_do_not_meet(ws: Workspace) -> None:
    ws.sdk.mkdir(parents=True)
    (ws.sdk / sdk.KEY_FILE).write_text(sdk.wanted_key())
    add_image(ws, "20261201.1")
    with pytest.raises(BadInput, match="exists already"):
        build.build(ws, Steps(quiet=True), V("20261201.1"))
    with locked(ws.state / "image.lock", "x"), pytest.raises(Busy, match="image builder is in use"):
        build.build(ws, Steps(quiet=True), V("20261201.2"))


def test_the_input_key_sees_content_names_modes_and_links(ws: Workspace) -> None:
    seen = {build.input_key(ws)}
    path = ws.os_tree / "a"
    path.write_text("1")
    seen.add(build.input_key(ws))
    path.write_text("2")
    seen.add(build.input_key(ws))
    path.chmod(0o755)
    seen.add(build.input_key(ws))
    path.rename(ws.os_tree / "b")
    seen.add(build.input_key(ws))
    (ws.os_tree / "c").symlink_to("b")
    seen.add(build.input_key(ws))
    assert len(seen) == 6


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_one_kernel(tmp_path: Path, count: int) -> None:
    for n in range(count):
        folder = tmp_path / f"usr/lib/modules/6.{n}"
        folder.mkdir(parents=True)
        (folder / "vmlinuz").touch()
    with pytest.raises(BadInput, match=f"packages bring {count}"):
        build.kernel_release(tmp_path)


def test_the_command_line_drops_comments_and_ends_with_the_root_hash() -> None:
    root_hash = "0123456789abcdef" * 2 + "fedcba9876543210" * 2
    words = command_line(command_words("# a\nroot=tmpfs quiet # why\n\npanic=10\n"), root_hash).split()
    assert [words[:3], words[-1]] == [["root=tmpfs", "quiet", "panic=10"], f"usrhash={root_hash}"]
    assert words[3:-1] == [
        "systemd.verity_usr_data=/dev/disk/orlop/by-partuuid/01234567-89ab-cdef-0123-456789abcdef",
        "systemd.verity_usr_hash=/dev/disk/orlop/by-partuuid/fedcba98-7654-3210-fedc-ba9876543210",
    ]


def test_partition_uuids_are_the_halves_of_the_root_hash(tmp_path: Path) -> None:
    sealed = Sealed(tmp_path, V("20261201.1"), "0123456789abcdef" * 4)
    assert str(sealed.usr_uuid) == "01234567-89ab-cdef-0123-456789abcdef"
    assert sealed.usr_uuid == sealed.verity_uuid


def test_seeds_differ_by_version_and_purpose_and_are_stable() -> None:
    assert len({seed(V(v), w) for v in ("20261201.1", "20261201.2") for w in ("usr", "salt")}) == 4
    assert seed(V("20261201.1"), "usr") == seed(V("20261201.1"), "usr")


def test_the_factory_tree_holds_etc_with_one_shell_and_no_single_certificates(tmp_path: Path) -> None:
    tree, lists = tmp_path / "tree", tmp_path / "lists"
    lists.mkdir()
    (lists / "etc.list").write_text("passwd-\n")
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "etc/ssl/certs").mkdir(parents=True)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (tree / "etc/passwd-").write_text("old")
    for name in ("ca-certificates.crt", "A.pem"):
        (tree / "etc/ssl/certs" / name).write_text("x")
    make_factory(tree, lists, V("20261201.1"), "abc")
    etc = tree / "usr/share/factory/etc"
    assert not (tree / "etc").exists()
    assert (etc / "passwd").read_text() == "root:x:0:0:root:/root:/bin/sh\n"
    assert not (etc / "passwd-").exists()
    assert [p.name for p in (etc / "ssl/certs").iterdir()] == ["ca-certificates.crt"]
    assert (etc / "os-release").readlink() == Path("../usr/lib/os-release")
    assert "IMAGE_VERSION=20261201.1\n" in (tree / "usr/lib/os-release").read_text()


def test_os_release_says_orlop_version_and_build() -> None:
    lines = dict(line.split("=", 1) for line in os_release(V("20261201.1"), "abc").splitlines())
    assert lines["ID"] == "orlop"
    assert lines["VERSION_ID"] == "20261201.1"
    assert lines["BUILD_ID"] == "abc"


def test_what_inspect_measures(tmp_path: Path) -> None:
    bin_dir = tmp_path / "usr/bin"
    wants = tmp_path / "usr/share/factory/etc/systemd/system/multi-user.target.wants"
    for folder in (bin_dir, wants, tmp_path / "usr/lib/systemd/system"):
        folder.mkdir(parents=True)
    for name in ("dash", "perl5.40.1", "cat"):
        (bin_dir / name).write_text("x")
        (bin_dir / name).chmod(0o755)
    (bin_dir / "sh").symlink_to("dash")
    (bin_dir / "cat").chmod(0o755 | stat.S_ISUID)
    private = tmp_path / "usr/lib/orlop/runtime/usr/bin/python3.13"
    private.parent.mkdir(parents=True)
    private.write_text("x")
    private.chmod(0o755)
    (wants / "a.service").symlink_to("/usr/lib/systemd/system/a.service")
    assert interpreters(tmp_path, tmp_path / runtime.PLACE) == ["perl5.40.1", "sh"]
    assert setuid_files(tmp_path) == ["/usr/bin/cat"]
    assert enabled_units(tmp_path) == ["a.service"]


def test_inspect_prints_every_figure_and_shortens_long_lists() -> None:
    text = dict(rows(ABOUT))
    assert text["setuid"] == "none"
    assert text["interpreters"] == "sh"
    assert text["runtime"] == "Python 3.13.5, private: 4.2 MB, 2 modules, third-party: none"
    assert text["payload"].startswith("3.0 MB")
    assert "and 3 more" in listed([str(n) for n in range(15)])
