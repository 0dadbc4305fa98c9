"""The device nodes that are there before their drivers: who opens one has the kernel load its module.

`kmod static-nodes` writes them at each boot, from a file of /usr that no boot changes; so the build does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orlop.errors import BadInput

PLACE = "usr/lib/tmpfiles.d/static-nodes.conf"


def write(tree: Path, kernel: str) -> None:
    devname = (tree / "usr/lib/modules" / kernel / "modules.devname").read_text()
    (tree / PLACE).write_text("".join(f"{line}\n" for line in lines(devname)))


def lines(devname: str) -> Iterator[str]:
    """tmpfiles.d(5) lines for the text of a modules.devname: `MODULE NODE c|bMAJOR:MINOR` each."""
    folders = set()
    for line in devname.splitlines():
        match line.split("#", 1)[0].split():
            case []:
                continue
            case [_, name, number] if number[:1] in ("c", "b"):
                folder = name.rpartition("/")[0]
                if folder and folder not in folders:
                    folders.add(folder)
                    yield f"d /dev/{folder} 0755 - - -"
                yield f"{number[0]}! /dev/{name} 0600 - - - {number[1:]}"
            case _:
                raise BadInput(f"modules.devname has a line that is not a device node: {line}")
