"""What the compression of /usr costs between two releases: `python -m bench.delta_formats`.

The /usr of the images of `bench.delta_images` is unpacked and packed again in several ways. For each: its size, and the
bytes of it that a machine with `base` would fetch for `patch` and for `all`: blocks it has not, and the same with the
patches that the release tool makes. The verity tree and the UKI are the same for all and not in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.delta_images import images
from orlop.files import remove_tree
from orlop.image.index import read_part
from orlop.image.seal import EROFS, HINTS
from orlop.model.release.index import Index, Part, Patch, file_name
from orlop.model.words.version import Version
from orlop.node.update.blobs.plan import plan
from orlop.publish.content.patches import make_patch
from orlop.sdk.run import in_sdk, sdk_run
from orlop.steps import Steps
from orlop.workspace import Workspace

STEPS_FROM_BASE = ("patch", "all")
# name: options of mkfs.erofs, and the lines of its hints (None: those of the image)
FORMATS: dict[str, tuple[Sequence[str], str | None]] = {
    "as it is": (EROFS, None),
    "modules not packed": (EROFS, "0 0 lib/modules/\n65536 1 share/\n"),
    "modules lz4hc, 4 KiB": (EROFS, "4096 0 lib/modules/\n65536 1 share/\n"),
    "clusters of 16 KiB": (("-zlz4hc,12:zstd,level=9", "-C16384", "--all-root", "--quiet"), "16384 1 lib/modules/\n"),
    "lz4hc alone, 4 KiB": (("-zlz4hc,12", "-C4096", "--all-root", "--quiet"), ""),
    "zstd alone, 64 KiB": (("-zzstd,level=9", "-C65536", "--all-root", "--quiet"), ""),
    "not packed": (("--all-root", "--quiet"), ""),
}


class FormatsBench:
    def __init__(self, ws: Workspace, steps: Steps, top: Path) -> None:
        self.ws, self.steps, self.top = ws, steps, top
        self.trees: dict[str, Path] = {}
        for name, folder in images(ws, steps).items():
            if name in ("base", *STEPS_FROM_BASE):
                self.trees[name] = tree = top / f"tree-{name}"
                usr = folder / file_name(Version.parse(folder.name), "usr")
                sdk_run(ws, ["fsck.erofs", f"--extract={tree}", usr], what="unpacking the usr image", binds=[top])

    def measure(self, options: Sequence[str], hints: str | None) -> dict[str, float]:
        start = time.perf_counter()
        made = {name: self._pack(name, tree, options, hints) for name, tree in self.trees.items()}
        row = {"seconds": (time.perf_counter() - start) / len(made), "size": float(made["all"].stat().st_size)}
        parts = {name: read_part(path) for name, path in made.items()}
        for name in STEPS_FROM_BASE:
            row |= self._between(name, parts, made)
        for path in made.values():
            path.unlink()
        return row

    def _pack(self, name: str, tree: Path, options: Sequence[str], hints: str | None) -> Path:
        out, file = self.top / f"{name}.raw", self.top / "hints"
        if hints is None:
            hints = (self.ws.os_tree / HINTS).read_text()
        file.write_text(hints)
        with_hints = [f"--compress-hints={file}"] if hints else []
        fixed = ["-T0", "-U", "00000000-0000-4000-8000-000000000000"]
        argv: list[str | Path] = ["mkfs.erofs", *options, *with_hints, *fixed, out, tree]
        sdk_run(self.ws, argv, what="making the usr image", binds=[self.top])
        return out

    def _between(self, name: str, parts: dict[str, Part], files: dict[str, Path]) -> dict[str, float]:
        old, new = parts["base"], parts[name]
        nothing = Part(new.blob, b"")
        base = Index(Version.parse("20260101.1"), "a" * 64, old, nothing, nothing)
        work = self.top / "patches"
        work.mkdir()
        zstd = in_sdk(self.ws, ["zstd"], binds=[work])
        patch = make_patch("usr", new, files[name], base, files["base"], work / "patch", zstd)
        remove_tree(work)
        return {f"{name} blocks": _fetched(new, old, None), f"{name} patches": _fetched(new, old, patch)}


def _fetched(new: Part, old: Part, patch: Patch | None) -> float:
    return float(plan(new, here=b"", old=old.digests, frames=patch.frames if patch else ()).fetch_bytes)


def text(found: dict[str, dict[str, float]]) -> str:
    lines = [
        f"{'/usr':<22}{'size':>9}{'made in':>9}{'patch: blocks':>15}{'patches':>9}{'all: blocks':>14}{'patches':>9}"
    ]
    for name, row in found.items():
        cells = f"{row['size'] / 1e6:>6.1f} MB{row['seconds']:>7.1f} s"
        for key, width in (("patch blocks", 12), ("patch patches", 6), ("all blocks", 11), ("all patches", 6)):
            cells += f"{row[key] / 1e6:>{width}.2f} MB"
        lines.append(f"{name:<22}{cells}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="as JSON")
    args = parser.parse_args()
    ws, steps = Workspace.find(), Steps()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=ws.state) as top:
        bench = FormatsBench(ws, steps, Path(top))
        for name, (options, hints) in FORMATS.items():
            with steps.step(f"Packing: {name}"):
                found[name] = bench.measure(options, hints)
    print(json.dumps(found, indent=2) if args.json else text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
