"""`orlop image diff`: what one image has that another has not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from orlop.built import BuiltImage, find
from orlop.cli.image.sizes import megabytes, signed
from orlop.cli.session import workspace
from orlop.image.contents import tracker
from orlop.image.contents.tracker import Fix
from orlop.model.contents import files, packages
from orlop.model.contents.files import FileChange
from orlop.model.contents.packages import PackageChange

SHOWN = 12  # files; --json lists all
SIZES = ("payload", "usr", "verity", "uki", "initrd")


@dataclass(frozen=True)
class ImageDifference:
    """`sizes`: name → bytes in both; `fixes` is None when no data of the security tracker were given."""

    old: str
    new: str
    sizes: dict[str, tuple[int, int]]
    packages: Sequence[PackageChange]
    files: Sequence[FileChange]
    fixes: Sequence[Fix] | None


def diff(
    old: Annotated[str, typer.Argument(help="Which image; the older one.")],
    new: Annotated[str, typer.Argument(help="And which other.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Annotated[
        Path | None, typer.Option("--tracker", help="The security tracker's JSON: say which CVEs are fixed.")
    ] = None,
) -> None:
    """Packages, files and sizes that differ between two images, and the CVEs that are fixed."""
    ws = workspace()
    found = difference(BuiltImage.read(find(ws, old)), BuiltImage.read(find(ws, new)), data)
    if as_json:
        typer.echo(json.dumps(as_document(found), indent=2))
        return
    for line in lines(found):
        Console().print(line, highlight=False, soft_wrap=True, markup=False)


def difference(old: BuiltImage, new: BuiltImage, data: Path | None = None) -> ImageDifference:
    """Raises Missing, or BadInput when an image is damaged or `data` is not the tracker's."""
    return ImageDifference(
        str(old.version),
        str(new.version),
        {name: (_size(old, name), _size(new, name)) for name in SIZES},
        packages.difference(packages.of_contents(old.contents), packages.of_contents(new.contents)),
        files.difference(old.contents.files, new.contents.files),
        tracker.fixed(tracker.read(data), old.contents, new.contents) if data else None,
    )


def _size(built: BuiltImage, name: str) -> int:
    return built.manifest.number(f"{name}_bytes")


def as_document(found: ImageDifference) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "sizes": {name: {"old": old, "new": new} for name, (old, new) in found.sizes.items()},
        "packages": [
            {"name": c.name, "old": c.old or None, "new": c.new or None, "stable_update": c.security}
            for c in found.packages
        ],
        "files": [
            {
                "path": c.path,
                "what": c.what,
                "old_bytes": c.old.size if c.old else None,
                "new_bytes": c.new.size if c.new else None,
                "component": (c.new or c.old).component or None,  # type: ignore[union-attr]  # one of them is there
            }
            for c in found.files
        ],
        "cves": None if found.fixes is None else [asdict(fix) for fix in found.fixes],
    }


def lines(found: ImageDifference) -> Iterator[str]:
    """What is printed: the whole of the packages and CVEs, and of the files those that make the most difference."""
    yield f"{found.old} → {found.new}"
    for name, (old, new) in found.sizes.items():
        yield f"{name:<10} {megabytes(old)} → {megabytes(new)} ({signed(new - old)})"
    yield f"packages   {len(found.packages) or 'none'} differ"
    yield from (f"  {change.said()}" for change in found.packages)
    kinds = [f"{n} {what}" for what in ("new", "gone", "changed") if (n := sum(c.what == what for c in found.files))]
    yield f"files      {', '.join(kinds) or 'none differ'}" + (
        f"; {signed(sum(c.grown for c in found.files))} before compression" if found.files else ""
    )
    most = sorted(found.files, key=lambda c: (-abs(c.grown), c.path))
    yield from (f"  {signed(c.grown):>9}  {c.path} ({c.what})" for c in most[:SHOWN])
    if len(most) > SHOWN:
        yield f"  … and {len(most) - SHOWN} more (--json lists all)"
    if found.fixes is not None:
        yield f"CVEs       {len(found.fixes) or 'none'} fixed"
        yield from (f"  {fix.cve}: {fix.source} {fix.since} ({_names(fix.components)})" for fix in found.fixes)


def _names(keys: Sequence[str]) -> str:
    return ", ".join(key.partition(":")[2] for key in keys)
