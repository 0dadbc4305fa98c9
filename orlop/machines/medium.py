"""Disks of files that a machine only reads, and files on the ESP of a disk that it has.

Lifetime: a disk of files is replaced whole. The ESP is copied out of the machine's disk, changed and written back while
the machine is off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orlop.errors import BadInput
from orlop.machines.qemu import value
from orlop.machines.tools import Tools

ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_SECONDS = 120


def make_iso(tools: Tools, disk: Path, label: str, files: Mapping[str, bytes], *options: str) -> None:
    """Write an ISO 9660 disk of this label that holds these files. `options`: further ones of genisoimage."""
    with tempfile.TemporaryDirectory(prefix=".making-", dir=disk.parent) as folder:
        tree, iso = Path(folder) / "tree", Path(folder) / "iso"
        for name, data in files.items():
            file = tree / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        argv: list[str | Path] = ["genisoimage", "-quiet", "-J", "-r", *options, "-V", label, "-o", iso, tree]
        tools.run(argv, what=f"making the disk {label}", timeout=_SECONDS)
        iso.chmod(0o600)
        iso.rename(disk)


def write_esp(tools: Tools, disk: Path, image: Path, place: tuple[str, str], data: bytes | None) -> None:
    """Put a file, by folder and name, on the ESP of a qcow2 disk that is a layer over `image`; None takes it away."""
    start, size = _esp(tools, image)
    part = f"driver=raw,offset={start},size={size},file.driver=qcow2,file.file.filename={value(disk)}"
    with tempfile.TemporaryDirectory(prefix=".making-", dir=disk.parent) as folder:
        raw, file = Path(folder) / "esp", Path(folder) / "data"
        take: list[str | Path] = ["qemu-img", "convert", "-O", "raw", "--image-opts", part, raw]
        tools.run(take, what="reading the ESP", binds=[image.parent], timeout=_SECONDS)
        if data is None:
            script = 'mdel -i "$1" "::$3/$4" || ! mdir -i "$1" "::$3/$4"'  # also when it is not there
        else:
            file.write_bytes(data)
            script = 'mmd -D s -i "$1" "::$3"; mcopy -o -i "$1" "$2" "::$3/$4"'
        tools.run(["sh", "-c", script, "sh", raw, file, *place], what="writing to the ESP", timeout=_SECONDS)
        put: list[str | Path] = ["qemu-img", "convert", "-n", "-f", "raw", "--target-image-opts", raw, part]
        tools.run(put, what="writing the ESP back", binds=[image.parent], timeout=_SECONDS)


def _esp(tools: Tools, image: Path) -> tuple[int, int]:
    """Where the ESP begins on the image's disk, and how long it is, in bytes."""
    table = json.loads(tools.run(["sfdisk", "--json", image], what="finding the ESP", binds=[image.parent]))
    for part in table["partitiontable"].get("partitions", ()):
        if part["type"].upper() == ESP_TYPE:
            return part["start"] * 512, part["size"] * 512
    raise BadInput(f"{image} has no ESP to put a configuration on", hint="--config-source fw_cfg needs none")
