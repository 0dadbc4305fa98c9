"""How the tests of the translator speak to it: text in, Ignition as a dict or findings out.

What the table of other systems' words warns about is left out here: test_foreign.py is about that.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from orlop.provision.foreign.table import TABLE
from orlop.provision.local import LocalError, LocalNode
from orlop.provision.report import ReportEntry
from orlop.provision.translate import Translation, translate

FCOS = "variant: fcos\nversion: 1.4.0\n"
FLATCAR = "variant: flatcar\nversion: 1.0.0\n"
ORLOP = "variant: orlop\nversion: 1.0.0\n"


class Memory:
    """A files directory that is a dict. Satisfies `LocalFiles`."""

    def __init__(self, files: Mapping[str, bytes], trees: Mapping[str, list[LocalNode]] | None = None) -> None:
        self.files = files
        self.trees = trees or {}

    def read(self, path: str, /) -> bytes:
        if path not in self.files:
            raise LocalError(f"{path!r} cannot be read: there is no such file")
        return self.files[path]

    def walk(self, path: str, /) -> Iterator[LocalNode]:
        if path not in self.trees:
            raise LocalError(f"{path!r} is not a folder")
        yield from self.trees[path]


def run(body: str, head: str = FCOS, files: Memory | None = None, *, strict: bool = False) -> Translation:
    return translate((head + textwrap.dedent(body)).encode(), files, strict=strict)


def ignition(body: str, head: str = FCOS, files: Memory | None = None) -> dict[str, Any]:
    """The Ignition config, which must be made without any finding."""
    result = run(body, head, files)
    assert own(result) == []
    assert result.ignition is not None
    found = json.loads(result.ignition)
    assert found["ignition"]["version"] == "3.3.0"
    assert isinstance(found, dict)
    return found


def findings(body: str, head: str = FCOS, files: Memory | None = None) -> list[str]:
    """`error 3:5 $.path message` for each finding; lines count from the first after the head."""
    lines = head.count("\n")
    return [
        f"{e.severity.value} {e.place.span.line - lines}:{e.place.span.column} {e.place.path} {e.message}"
        for e in own(run(body, head, files))
    ]


def own(result: Translation) -> list[ReportEntry]:
    foreign = {entry.write for entry in TABLE}
    return [entry for entry in result.report.sorted() if entry.hint not in foreign]
