"""By which way a node is given its Ignition configuration, as a value, and what QEMU is told for it. Pure.

Why so many: on real machines the configuration comes from a cloud's metadata service, a config drive, a kernel argument
or a file, and each must be met in the lab as it is met there. The configuration itself is a file in the node's folder
(`NodePaths.ignition`), replaced whole; the record of the lab keeps only the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orlop.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.lab.paths import NodePaths

FW_CFG = "opt/com.coreos/config"


class Way(StrEnum):
    """The words of `--config-source`."""

    FW_CFG = "fw_cfg"


@dataclass(frozen=True)
class Source:
    """The way, without the configuration."""

    way: Way


@dataclass(frozen=True)
class Given:
    """What one node is given: any bytes, so that a test can give what no machine accepts."""

    source: Source
    config: bytes


def parse_way(text: str) -> Way:
    try:
        return Way(text)
    except ValueError:
        ways = ", ".join(Way)
        raise BadInput(f"--config-source {text!r} is no way to give a configuration", hint=f"one of: {ways}") from None


def arguments(source: Source, at: NodePaths) -> list[str]:
    """What QEMU is told about it."""
    match source.way:
        case Way.FW_CFG:
            return ["-fw_cfg", f"name={FW_CFG},file={value(at.ignition)}"]


def value(path: Path) -> str:
    """A path inside a QEMU option: commas are doubled."""
    return str(path).replace(",", ",,")
