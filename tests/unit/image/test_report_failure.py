"""What the initrd does when a boot fails in it: the real script, with firmware variables that are files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path("os/initrd/tree/usr/lib/orlop/report-failure").resolve()
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
V1, V2 = "20261201.1", "20261202.1"
ENTRIES = [
    f"orlop_{V2}.efi",
    f"orlop_{V1}.efi",
    f"orlop_{V2}.efi@factory-reset",
    f"orlop_{V1}.efi@factory-reset",
    "auto-reboot-to-firmware-setup",
]
FAKES = {"systemctl": "echo sysroot-usr.mount failed", "journalctl": "echo verity", "chattr": "", "sleep": ""}


class Firmware:
    """`variables` outlives boots; each `fails` is a boot of a version that ends in the initrd."""

    def __init__(self, top: Path, entries: list[str]) -> None:
        self.variables, self.run, self.bin = top / "efivars", top / "run", top / "bin"
        for folder in (self.variables, self.run / "orlop", self.bin):
            folder.mkdir(parents=True)
        for name, script in FAKES.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.bin / name).chmod(0o755)
        listed = b"".join(f"{entry}\0".encode("utf-16-le") for entry in entries)
        self._loader("LoaderEntries").write_bytes(b"\6\0\0\0" + listed)

    def _loader(self, name: str) -> Path:
        return self.variables / f"{name}-{LOADER}"

    def fails(self, version: str, *, counted: bool = False) -> str:
        (self.run / "orlop/version").write_text(version + "\n")
        self._loader("LoaderBootCountPath").unlink(missing_ok=True)
        if counted:
            self._loader("LoaderBootCountPath").write_bytes(b"\6\0\0\0x\0\0\0")
        env = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "ORLOP_EFIVARS": str(self.variables),
            "ORLOP_RUN": str(self.run),
        }
        done = subprocess.run(["sh", SCRIPT], env=env, capture_output=True, text=True, check=True, timeout=20)
        assert done.stderr == ""
        return done.stdout.splitlines()[-1].partition("10 seconds; ")[2]

    def once(self) -> str:
        """What the next boot starts whatever the order is; systemd-boot clears it."""
        variable = self._loader("LoaderEntryOneShot")
        if not variable.exists():
            return ""
        raw = variable.read_bytes()
        assert raw[:4] == b"\7\0\0\0" and raw[-2:] == b"\0\0"
        variable.unlink()
        return raw[4:-2].decode("utf-16-le")

    def words(self) -> list[str]:
        (variable,) = self.variables.glob("OrlopFailure-*")
        raw = variable.read_bytes()
        assert raw[:4] == b"\7\0\0\0"
        return raw[4:].decode().splitlines()


@pytest.fixture
def firmware(tmp_path: Path) -> Firmware:
    return Firmware(tmp_path, ENTRIES)


def test_what_failed_is_kept_for_the_next_boot(firmware: Firmware) -> None:
    assert "falls back" in firmware.fails(V2, counted=True)
    assert firmware.words() == [V2, "1 in a row", "sysroot-usr.mount failed", "verity"]


def test_the_third_failure_of_a_blessed_version_starts_another_once(firmware: Firmware) -> None:
    for n in (1, 2):
        assert f"number {n}" in firmware.fails(V2)
        assert firmware.once() == ""
    assert f"the next one is that of orlop_{V1}.efi" in firmware.fails(V2)
    assert firmware.once() == f"orlop_{V1}.efi"
    assert firmware.words()[:2] == [V2, "3 in a row"]


def test_a_version_that_is_counted_is_left_to_the_boot_loader(firmware: Firmware) -> None:
    for _ in range(5):
        firmware.fails(V2, counted=True)
        assert firmware.once() == ""


def test_failures_of_two_versions_are_not_in_a_row(firmware: Firmware) -> None:
    for version in (V2, V2, V1, V2, V2):
        firmware.fails(version)
    assert firmware.once() == ""
    firmware.fails(V2)
    assert firmware.once() == f"orlop_{V1}.efi"


@pytest.mark.parametrize("other", [f"orlop_{V1}+0-0.efi", f"orlop_{V1}+3-0.efi"])
def test_an_id_that_has_a_counter_is_named_as_it_is(tmp_path: Path, other: str) -> None:
    firmware = Firmware(tmp_path, [f"orlop_{V2}.efi", "orlop_other.efi", f"orlop_{V2}.efi@factory-reset", other])
    for _ in range(3):
        firmware.fails(V2)
    assert firmware.once() == other


def test_without_another_version_there_is_nothing_to_start(tmp_path: Path) -> None:
    firmware = Firmware(tmp_path, [f"orlop_{V2}.efi", f"orlop_{V2}.efi@factory-reset", "auto-uefi-shell"])
    for _ in range(4):
        assert "if there is one" in firmware.fails(V2)
    assert firmware.once() == ""


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"\7\0\0\0",
        b"\7\0\0\0" + V2.encode(),
        b"\7\0\0\0" + V2.encode() + b"\n-1 x\n",
        b"\7\0\0\0" + V2.encode() + b"\n900 x\n",
    ],
)
def test_a_count_that_makes_no_sense_begins_anew(firmware: Firmware, left: bytes) -> None:
    (firmware.variables / "OrlopFailure-e3374dfd-237e-4189-a79d-2a3947076442").write_bytes(left)
    firmware.fails(V2)
    assert firmware.words()[1] == "1 in a row"
