"""Which files differ between two images. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orlop.model.contents.contents import File


@dataclass(frozen=True)
class FileChange:
    """`old` is None for a new file, `new` for one that is gone."""

    path: str
    old: File | None
    new: File | None

    @property
    def grown(self) -> int:
        """Bytes, before compression."""
        return (self.new.size if self.new else 0) - (self.old.size if self.old else 0)

    @property
    def what(self) -> str:
        return "new" if self.old is None else "gone" if self.new is None else "changed"


def difference(old: Mapping[str, File], new: Mapping[str, File]) -> list[FileChange]:
    """Each file whose content differs, or that only one has, by path. The arguments are by path."""
    changes = (FileChange(path, old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys()))
    return [c for c in changes if c.old is None or c.new is None or c.old.digest != c.new.digest]
