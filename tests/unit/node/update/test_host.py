"""What is read of the machine, from files as the kernel and systemd write them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from orlop.errors import Missing
from orlop.model.update.decide import Health
from orlop.model.update.memory import MAX_EXCERPT
from orlop.model.words.version import Version
from orlop.net.notify import notify
from orlop.node.update.host import Host

HASH = "2ed3615416b8bb88a24489a724d03c74a17a684ddca2221576058ef104dfda42"
BOOT = "3f1c0c7e-8a51-4bdf-9d44-6a2f6a0f6c11"


def put(top: Path, name: str, text: str) -> None:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    put(tmp_path, "proc/cmdline", f"root=tmpfs quiet usrhash={HASH}\n")
    put(tmp_path, "proc/sys/kernel/random/boot_id", BOOT + "\n")
    put(tmp_path, "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    return Host(tmp_path)


def test_the_root_hash_of_what_runs(host: Host, tmp_path: Path) -> None:
    assert host.running_hash() == HASH
    put(tmp_path, "proc/cmdline", f"root=/dev/sda1 rd.usrhash={HASH}x\n")
    with pytest.raises(Missing, match="no usrhash="):
        host.running_hash()


def test_the_disk_is_the_one_below_usr(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="not on dm-verity"):
        host.disk()
    disk = tmp_path / "sys/devices/pci/vda"
    for name in ("vda2", "vda3"):
        put(disk / name, "partition", "2\n")
    for number, name in ((0, "data"), (1, "usr")):
        put(tmp_path, f"sys/block/dm-{number}/dm/name", name + "\n")
        (tmp_path / f"sys/block/dm-{number}/slaves").mkdir()
    (tmp_path / "sys/block/dm-1/slaves/vda3").symlink_to(disk / "vda3")
    assert host.disk() == tmp_path / "dev/vda"


@pytest.mark.parametrize(
    ("verdict", "boot", "expected"),
    [
        ("good", BOOT.replace("-", ""), Health(True, "")),
        ("bad", BOOT.replace("-", ""), Health(False, "")),
        ("good", "0" * 32, Health()),
        ("perhaps", BOOT.replace("-", ""), Health()),
        ("waits", BOOT.replace("-", ""), Health()),
    ],
)
def test_the_verdict_is_of_this_boot_or_none(
    host: Host, tmp_path: Path, verdict: str, boot: str, expected: Health
) -> None:
    put(tmp_path, "run/orlop/health.json", json.dumps({"verdict": verdict, "boot": boot, "reason": ""}))
    assert host.health() == expected


CHECKS = [
    {"check": "usr", "ok": True},
    {"check": "network", "ok": False, "kind": "network", "about": "", "reason": "x"},
    {"check": "units", "ok": False, "kind": "workload", "about": "a.service b.service", "reason": "x"},
]


def test_what_failed_is_read_with_its_kind(host: Host, tmp_path: Path) -> None:
    said = {"verdict": "bad", "boot": BOOT.replace("-", ""), "reason": "x", "checks": CHECKS}
    put(tmp_path, "run/orlop/health.json", json.dumps(said))
    assert host.health() == Health(False, "x", ("network", "workload:a.service", "workload:b.service"))
    put(tmp_path, "run/orlop/health.json", json.dumps(said | {"checks": ["x"]}))
    assert host.health() == Health()


def test_what_is_waited_for_is_said_until_there_is_a_verdict(host: Host, tmp_path: Path) -> None:
    said = {"verdict": "waits", "boot": BOOT.replace("-", ""), "reason": "no DHCP", "checks": CHECKS}
    put(tmp_path, "run/orlop/health-waits.json", json.dumps(said))
    assert host.health() == Health(None, "no DHCP", ("network", "workload:a.service", "workload:b.service"))
    put(tmp_path, "run/orlop/health.json", json.dumps(said | {"verdict": "good", "reason": ""}))
    assert host.health() == Health(True, "")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"verdict": "good"}', "[" * 100_000])
def test_a_verdict_that_cannot_be_read_is_none(host: Host, tmp_path: Path, text: str) -> None:
    put(tmp_path, "run/orlop/health.json", text)
    assert host.health() == Health()


def test_people_are_counted_and_services_are_not(host: Host, tmp_path: Path) -> None:
    assert host.sessions() == 0
    put(tmp_path, "run/systemd/sessions/1", "UID=0\nCLASS=user\nSTATE=active\n")
    put(tmp_path, "run/systemd/sessions/2", "UID=0\nCLASS=user\nSTATE=closing\n")
    put(tmp_path, "run/systemd/sessions/3", "UID=0\nCLASS=manager\nSTATE=active\n")
    put(tmp_path, "run/systemd/sessions/1.ref", "")
    put(tmp_path, "proc/70/cmdline", "sshd-session: core@pts/0\0")
    put(tmp_path, "proc/71/cmdline", "sshd-session: core@notty\0")
    put(tmp_path, "proc/72/cmdline", "sshd: core [priv]\0")
    put(tmp_path, "proc/73/cmdline", "sh\0-c\0sshd: core@pts/0\0")
    assert host.sessions() == 2


def test_the_id_for_others_says_nothing_of_the_machines_own(host: Host, tmp_path: Path) -> None:
    first = host.machine()
    assert len(first) == 32 and "0123456789abcdef" not in first
    put(tmp_path, "etc/machine-id", "1123456789abcdef0123456789abcdef\n")
    assert host.machine() != first


def test_the_end_of_an_excerpt(host: Host, tmp_path: Path) -> None:
    version = Version.parse("20261202.1")
    assert host.excerpt(version) == ""
    put(tmp_path, f"var/lib/orlop/failures/{version}.txt", "early\n" * 5000 + "panic\n")
    assert host.excerpt(version).endswith("panic\n") and len(host.excerpt(version)) == MAX_EXCERPT


def test_systemd_is_told_where_it_listens(tmp_path: Path) -> None:
    notify("READY=1", address="")
    notify("READY=1", address=str(tmp_path / "nobody"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(tmp_path / "notify"))
        notify("READY=1", address=str(tmp_path / "notify"))
        assert there.recv(100) == b"READY=1"
        notify("STATUS=held: a\nWATCHDOG=trigger\udcff", address=str(tmp_path / "notify"))
        assert there.recv(100) == "STATUS=held: a WATCHDOG=trigger\ufffd".encode()


@pytest.mark.parametrize(
    ("text", "notes"),
    [('["one", "two\\nlines"]', ["one", "two lines"]), ("[]", []), ("{", []), ("3", []), ("[3]", []), ("", [])],
)
def test_what_was_found_of_the_hardware(host: Host, tmp_path: Path, text: str, notes: list[str]) -> None:
    put(tmp_path, "run/orlop/hardware.json", text)
    assert host.hardware() == notes
