"""Architectures: one entry each, from which every name that differs by it derives.

Sources: uname(2) and Debian's multiarch tuples; the UEFI specification 2.10, 3.5.1.1 (file names of boot programs); the
Discoverable Partitions Specification (partition types). Images are built for `BUILT` alone so far: another one is an
entry here, its packages, and a machine to try it on.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from orlop.errors import BadInput


@dataclass(frozen=True)
class Arch:
    """`name` is what channels and systemd say, `machine` what the kernel says, `debian` what packages say.

    `efi` ends the names of EFI programs; `libraries` is Debian's folder below /usr/lib, `loader` the dynamic loader's
    place below /usr; `usr_type` and `verity_type` are the GPT types of a slot's partitions.
    """

    name: str
    machine: str
    debian: str
    efi: str
    libraries: str
    loader: str
    usr_type: uuid.UUID
    verity_type: uuid.UUID

    @property
    def qemu(self) -> str:
        return f"qemu-system-{self.machine}"

    @property
    def efi_stub(self) -> str:
        return f"linux{self.efi}.efi.stub"

    @property
    def efi_loader(self) -> str:
        return f"systemd-boot{self.efi}.efi"

    @property
    def efi_default(self) -> str:
        """What firmware starts from a disk that it has no boot entry for."""
        return f"BOOT{self.efi.upper()}.EFI"


X86_64 = Arch(
    name="x86-64",
    machine="x86_64",
    debian="amd64",
    efi="x64",
    libraries="x86_64-linux-gnu",
    loader="lib64/ld-linux-x86-64.so.2",
    usr_type=uuid.UUID("8484680c-9521-48c6-9c11-b0720656f69e"),
    verity_type=uuid.UUID("77ff5f63-e7b6-4633-acf4-1565b864c0e6"),
)
ARM64 = Arch(
    name="arm64",
    machine="aarch64",
    debian="arm64",
    efi="aa64",
    libraries="aarch64-linux-gnu",
    loader="lib/ld-linux-aarch64.so.1",
    usr_type=uuid.UUID("b0e01050-ee5f-4390-949a-9101b17104e9"),
    verity_type=uuid.UUID("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"),
)
ARCHES = (X86_64, ARM64)
BUILT = X86_64  # what images are built for, and machines on this computer run


def of_machine(machine: str) -> Arch:
    """The architecture that the kernel calls `machine`. Raises BadInput."""
    for arch in ARCHES:
        if arch.machine == machine:
            return arch
    known = ", ".join(arch.machine for arch in ARCHES)
    raise BadInput(f"there is no Orlop for {machine}", hint=f"machines must be one of: {known}")
