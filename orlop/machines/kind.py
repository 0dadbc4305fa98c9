"""What a machine is: a whole one, emulated, or a container of the same image."""

from __future__ import annotations

from enum import StrEnum


class MachineKind(StrEnum):
    """The words of `--kind`."""

    VM = "vm"
    CONTAINER = "container"
