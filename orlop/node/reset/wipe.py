"""Empty /var but for what is kept: run by the initrd when a request for a reset is there.

How: what goes is moved to one folder at the top and taken apart there, folder by folder, so that no depth and no length
of path matters. The request goes last, when the rest is on the disk; until then every boot begins again.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orlop.errors import BadInput
from orlop.files import release, set_attributes, sync_dir, write_atomic
from orlop.model.reset.request import REQUEST, RESULT, VAR, ResetOutcome, ResetRequest, ResetResult, Stays

TRASH = ".orlop-reset"
FOUND = "lost+found"  # the file system's own
MAX_LEFT = 20


def reset(root: Path) -> ResetResult:
    """Fulfil the request in `root`/var. The result says what was done; the request is gone after it."""
    place = root / REQUEST.lstrip("/")
    try:
        request = ResetRequest.parse(place.read_bytes())
        refuse_links(root, request)
    except BadInput as e:
        place.unlink()
        sync_dir(place.parent)
        return ResetResult(ResetOutcome.REFUSED, reason=e.message)
    wipe = Wipe(root, request)
    wipe.run()
    os.sync()
    place.unlink()
    sync_dir(place.parent)
    there = {path: os.path.lexists(root / path.lstrip("/")) for path in request.keep}
    return ResetResult(
        ResetOutcome.INCOMPLETE if wipe.left else ResetOutcome.DONE,
        kept=tuple(path for path, is_there in there.items() if is_there),
        missing=tuple(path for path, is_there in there.items() if not is_there),
        removed=wipe.removed,
        left=wipe.left,
    )


def refuse_links(root: Path, request: ResetRequest) -> None:
    """Raises BadInput when a path to keep leads over a link: what it means lies elsewhere, and would go."""
    for path in request.keep:
        for parent in Path(path).parents:
            here = root / str(parent).lstrip("/")
            if here.is_symlink():
                raise BadInput(
                    f"{path} cannot be kept: {parent} is a link to {os.readlink(here)}",
                    hint="keep the path that it leads to",
                )


@dataclass
class Wipe:
    root: Path
    request: ResetRequest
    removed: int = 0
    left: dict[str, str] = field(default_factory=dict)
    moved: int = 0

    def run(self) -> None:
        var = self.at(VAR)
        self.trash = var / TRASH
        self.trash.mkdir(mode=0o700, exist_ok=True)
        self.moved = max((int(n) for n in os.listdir(self.trash) if n.isdecimal()), default=0)
        self.thin_out(VAR)
        self.empty_trash()
        with suppress(OSError):
            self.trash.rmdir()

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def thin_out(self, folder: str) -> None:
        """Remove what does not stay in a folder that leads to something kept."""
        with released(self.at(folder)):
            for name in sorted(os.listdir(self.at(folder))):
                path = f"{folder}/{name}"
                if path == f"{VAR}/{TRASH}":
                    continue
                stays = self.request.stays(path)
                if path == f"{VAR}/{FOUND}" and stays is Stays.NOT:
                    stays = Stays.AS_FOLDER
                match stays:
                    case Stays.AS_FOLDER if is_folder(self.at(path)):
                        self.thin_out(path)
                    case Stays.NOT | Stays.AS_FOLDER:
                        self.drop(self.at(path), path)
                    case Stays.WHOLE:
                        pass

    def empty_trash(self) -> None:
        """Take apart what is in the trash; the folders in a folder come to the top, and their turn comes."""
        stuck: set[str] = set()
        while names := sorted(set(os.listdir(self.trash)) - stuck):
            for name in names:
                folder = self.trash / name
                try:
                    self.take_apart(folder)
                except OSError as e:
                    self.note(str(folder.relative_to(self.root)), e)
                    stuck.add(name)

    def take_apart(self, folder: Path) -> None:
        if not is_folder(folder):
            self.insist(folder, folder.unlink)
        else:
            release(folder)
            for name in os.listdir(folder):
                self.drop(folder / name, f"{VAR}/{TRASH}/{folder.name}/{name}")
            folder.rmdir()
        self.removed += 1

    def drop(self, place: Path, path: str) -> None:
        """Remove a file, or move a folder to the trash."""
        try:
            if is_folder(place):
                self.moved += 1
                to = self.trash / str(self.moved)
                self.insist(place, lambda: os.rename(place, to))
            else:
                self.insist(place, place.unlink)
                self.removed += 1
        except OSError as e:
            self.note(path, e)

    def insist(self, place: Path, deed: Callable[[], None]) -> None:
        """Do it; when the file's attributes forbid it, take them off and do it again."""
        try:
            deed()
        except PermissionError:
            if not release(place):
                raise
            deed()

    def note(self, path: str, error: OSError) -> None:
        if len(self.left) < MAX_LEFT:
            self.left[path] = error.strerror or str(error)


def is_folder(place: Path) -> bool:
    return stat.S_ISDIR(place.lstat().st_mode)


@contextmanager
def released(folder: Path) -> Iterator[None]:
    """Let the block change what is in a folder that is immutable; it is so again after."""
    attributes = release(folder)
    try:
        yield
    finally:
        if attributes:
            set_attributes(folder, attributes)


def main() -> int:
    try:
        result = reset(Path("/"))
    except OSError as e:  # the disk: a single path that does not go is no exception
        result = ResetResult(ResetOutcome.FAILED, reason=f"{e.filename or VAR}: {e.strerror}")
    sys.stdout.write(f"{result.line()}\n")
    write_atomic(Path(RESULT), result.text())
    return 1 if result.outcome is ResetOutcome.FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
