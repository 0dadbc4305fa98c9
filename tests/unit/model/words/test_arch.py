"""Architectures: each name is somebody else's, and nothing else in the tree spells one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orlop.errors import BadInput
from orlop.model.release.channel import ARCHES as IN_CHANNELS
from orlop.model.words.arch import ARCHES, X86_64, of_machine

ORLOP = Path(__file__).parents[4] / "orlop"
# three have the words of Butane's specification, and one shows how QEMU is called
ELSEWHERE = {
    "cli/examples.py",
    "model/words/arch.py",
    "provision/spec_variants.py",
    "provision/sugar/bootdevice.py",
    "provision/variants.py",
}


def test_the_kernels_name_leads_to_ours() -> None:
    assert [of_machine(arch.machine) for arch in ARCHES] == list(ARCHES)
    with pytest.raises(BadInput, match="no Orlop for riscv64") as e:
        of_machine("riscv64")
    assert e.value.hint == "machines must be one of: x86_64, aarch64"


def test_names_of_efi_programs() -> None:
    assert [arch.efi_default for arch in ARCHES] == ["BOOTX64.EFI", "BOOTAA64.EFI"]
    assert (X86_64.efi_stub, X86_64.efi_loader) == ("linuxx64.efi.stub", "systemd-bootx64.efi")


def test_channels_have_the_same() -> None:
    assert IN_CHANNELS == ("x86-64", "arm64")


def test_no_two_architectures_share_a_name() -> None:
    for field in ("name", "machine", "debian", "efi", "libraries", "loader", "usr_type", "verity_type"):
        assert len({getattr(arch, field) for arch in ARCHES}) == len(ARCHES)


def test_nothing_else_spells_an_architecture() -> None:
    spelt = re.compile(r"\bamd64\b|x86[-_]64|\baarch64\b|BOOTX64|bootx64", re.IGNORECASE)
    files = {str(path.relative_to(ORLOP)) for path in ORLOP.rglob("*.py") if spelt.search(path.read_text())}
    assert files == ELSEWHERE
