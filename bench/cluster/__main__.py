"""`python -m bench.cluster`: a cluster of container machines, measured; prints the table or JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cluster.scene import FIGURES, ClusterScene
from bench.docs import write_between
from bench.lab import text
from bench.scenes import measure_all
from bench.sizes import sizes
from orlop.built import find, read_manifest
from orlop.errors import OrlopError
from orlop.lab.images import resolve
from orlop.steps import Steps
from orlop.workspace import Workspace

DOCS = Path("docs/bench.md")  # below the root
BEGIN, END = "<!-- cluster: written by --docs -->", "<!-- end of cluster -->"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.cluster", description="A cluster of container machines, measured.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--docs", action="store_true", help=f"write the table to {DOCS}")
    parser.add_argument("--image", metavar="VERSION", help="measure with this image (default: the newest)")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `with` is left
    ws, load = Workspace.find(), os.getloadavg()[0]
    try:
        image = resolve(ws, args.image)
        about = read_manifest(find(ws, args.image)).about
        found = measure_all(ClusterScene(ws, Steps(), image, sizes(about)["payload"]), FIGURES)
        facts: dict[str, Any] = {
            "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "image": about["version"],
            "cpus": os.cpu_count(), "load before": round(load, 2),
        }  # fmt: skip
        shown = text(found) + "\n\n" + "\n".join(f"{name}: {value}" for name, value in facts.items())
        if args.docs:
            write_between(ws.root / DOCS, BEGIN, END, f"```\n{shown}\n```")
    except OrlopError as e:
        print(f"error: {e.message}" + (f"\nhint: {e.hint}" if e.hint else ""), file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"facts": facts, "figures": [asdict(row.figure) | {"value": row.orlop} for row in found]}))
    else:
        print(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
