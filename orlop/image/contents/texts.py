"""The texts of the licences, kept in the image where Debian has them: who has the image has what its licences ask for.

What several packages have alike is one file with several names, which the usr image stores once. Of the texts that
Debian has once for all packages only those come that one of the others refers to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orlop.image.contents.debian import DOC
from orlop.image.contents.licences import common

COMMON = "usr/share/common-licenses"


def read_common(tree: Path) -> dict[str, str]:
    """Name → text of each that the tree has; one that is the latest of its family has that name too."""
    folder = tree / COMMON
    return (
        {path.name: path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.iterdir())}
        if folder.is_dir()
        else {}
    )


@dataclass
class Texts:
    """Writes into `tree`; `common` is what may be referred to."""

    tree: Path
    common: Mapping[str, str]
    _written: dict[str, Path] = field(default_factory=dict)

    def add(self, name: str, texts: Mapping[str, str]) -> None:
        for file, text in texts.items():
            if text:
                self._write(self.tree / DOC / name / file, text)
                for referred in common(text):
                    if referred in self.common:
                        self._write(self.tree / COMMON / referred, self.common[referred])

    def _write(self, path: Path, text: str) -> None:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if digest in self._written:
            os.link(self._written[digest], path)
        else:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
            self._written[digest] = path
