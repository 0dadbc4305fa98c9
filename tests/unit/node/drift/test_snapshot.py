"""Snapshots of real folders, and the machine's own command."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orlop.errors import BadInput, Missing
from orlop.model.drift.difference import DriftKind, Origin, Owner, What, compare
from orlop.model.drift.text import parse_snapshot
from orlop.node.__main__ import main
from orlop.node.drift import snapshot as drift


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small machine."""
    for folder in (
        "etc/systemd/system",
        "usr/share/factory/etc",
        "usr/lib/orlop",
        "proc/self",
        "run/systemd/system",
        "var/lib/a",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in {
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "etc/shadow": "root:!:1::::::\n",
        "etc/group": "root:x:0:\n",
        "etc/conf": "factory\n",
        "etc/machine-id": "0" * 32,
        "usr/share/factory/etc/conf": "factory\n",
        "usr/lib/orlop/cmdline": "quiet ro\n",
        "proc/cmdline": "quiet ro usrhash=1\n",
        "proc/self/mountinfo": "1 0 0:1 / / rw - tmpfs x rw\n",
        "var/lib/a/owned": "1",
        "var/lib/a/data": "1",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "etc/link").symlink_to("conf")
    os.mkfifo(tmp_path / "etc/fifo")
    return tmp_path


OWNED = {"/var/lib/a/owned": Owner(Origin.CONFIGURATION, "storage.files.0"), "/etc/link": Owner(Origin.CONFIGURATION)}


def differ(root: Path) -> list[tuple[str, What, Origin | None]]:
    expected = parse_snapshot((root / "expected.json").read_bytes(), "x")
    return [(d.path, d.what, d.origin) for d in compare(expected, drift.take(root, expected.entries))]


@pytest.fixture
def recorded(root: Path) -> Path:
    drift.record(root, OWNED, root / "expected.json", sealed=False, run=root / "run")
    return root


def test_a_record_is_for_root_alone_and_whole(recorded: Path) -> None:
    path = recorded / "expected.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    snapshot = parse_snapshot(path.read_bytes(), "x")
    kinds = {p: e.kind for p, e in snapshot.entries.items()}
    assert kinds["/etc"] is DriftKind.DIR
    assert kinds["/etc/link"] is DriftKind.LINK
    assert kinds["/etc/fifo"] is DriftKind.OTHER
    assert kinds["/var/lib/a/owned"] is DriftKind.FILE
    assert "/var/lib/a/data" not in kinds
    assert {p: o.origin for p, o in snapshot.owners.items() if o.origin is not Origin.BOOT} == {
        "/etc": Origin.FACTORY,
        "/etc/conf": Origin.FACTORY,
        "/etc/machine-id": Origin.MACHINE,
        "/etc/link": Origin.CONFIGURATION,
        "/var/lib/a/owned": Origin.CONFIGURATION,
    }
    assert snapshot.kernel_arguments == ("quiet", "ro")


def test_arguments_that_the_configuration_wants_are_expected_once(root: Path) -> None:
    drift.record(
        root, {}, root / "expected.json", sealed=False, arguments=("mitigations=off", "quiet"), run=root / "run"
    )
    (root / "proc/cmdline").write_text("quiet ro usrhash=1 mitigations=off\n")
    assert differ(root) == []


def test_nothing_done_nothing_found(recorded: Path) -> None:
    (recorded / "var/lib/a/data").write_text("workload")
    assert differ(recorded) == []


def test_everything_done_is_found(recorded: Path) -> None:
    (recorded / "etc/conf").write_text("changed\n")
    (recorded / "etc/new").mkdir()
    (recorded / "etc/link").unlink()
    (recorded / "etc/fifo").chmod(0o600)
    (recorded / "var/lib/a/owned").unlink()
    (recorded / "run/systemd/system/web.service").symlink_to("/dev/null")
    (recorded / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nevil::0:0::/:/bin/sh\n")
    (recorded / "proc/cmdline").write_text("quiet ro init=/bin/sh usrhash=1\n")
    assert differ(recorded) == [
        ("/etc/conf", What.CONTENT, Origin.FACTORY),
        ("/etc/fifo", What.MODE, Origin.BOOT),
        ("/etc/link", What.REMOVED, Origin.CONFIGURATION),
        ("/etc/new", What.ADDED, None),
        ("/etc/passwd", What.USER, Origin.BOOT),
        ("/proc/cmdline", What.KERNEL_ARGUMENT, None),
        ("/run/systemd/system/web.service", What.UNIT, None),
        ("/var/lib/a/owned", What.REMOVED, Origin.CONFIGURATION),
    ]


def test_the_same_content_again_is_no_difference(recorded: Path) -> None:
    path = recorded / "etc/conf"
    path.unlink()
    path.write_text("factory\n")
    assert differ(recorded) == []


@pytest.mark.parametrize(
    ("mountinfo", "sealed"),
    [
        ("1 0 0:1 / / rw - tmpfs x rw\n", False),
        ("1 0 0:1 / / rw - tmpfs x rw\n2 1 0:1 /etc /etc ro,relatime shared:1 - tmpfs x rw\n", True),
        ("2 1 0:1 /etc /etc ro - tmpfs x rw\n3 2 0:9 / /etc rw - tmpfs x rw\n", False),
        ("2 1 0:1 /etc /etc/x ro - tmpfs x rw\n", False),
    ],
)
def test_the_seal_is_the_last_mount_on_etc(mountinfo: str, sealed: bool) -> None:
    assert drift.is_sealed(mountinfo) is sealed


def test_a_boot_that_recorded_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="recorded nothing"):
        drift.differences(tmp_path / "expected.json")
    (tmp_path / "expected.json").write_text("{")
    with pytest.raises(BadInput, match=r"expected\.json cannot be read"):
        drift.differences(tmp_path / "expected.json")


@pytest.mark.parametrize("words", [[], ["nonsense"], ["node"], ["node", "nonsense"]])
def test_the_command_lists_its_verbs(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "diff " in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "reset " in capsys.readouterr().out


def test_what_cannot_be_told_is_status_2_and_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    if drift.EXPECTED.exists():  # on one of our own machines
        return
    for words in (["diff"], ["node", "diff"], ["node", "diff", "--json"]):
        assert main(words) == 2
        err = capsys.readouterr().err.splitlines()
        assert [line.partition(":")[0] for line in err] == ["error", "hint"]
