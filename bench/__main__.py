"""`python -m bench`: measure Orlop beside the peer, print the table or JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import builds
from bench.boot import counted as counting
from bench.boot import peer_image
from bench.boot.counted import Counted
from bench.boot.seconds import TimedBoot, boot
from bench.boot.stages import medians
from bench.figures import Row, rows, table
from bench.sizes import sizes
from orlop.built import find, read_manifest
from orlop.errors import CommandFailed, OrlopError
from orlop.files import write_atomic
from orlop.image.build import build
from orlop.lab.images import LabImage, resolve
from orlop.steps import Steps
from orlop.workspace import Workspace

PARTS = ("sizes", "cold", "warm", "boot", "counted")
QUIET = 0.3  # processors other programs may keep busy before a boot's seconds are in doubt
LAST = Path("bench") / "last.json"  # below the state folder
DOCS = Path("docs/bench.md")  # below the root


@dataclass
class Side:
    """One of the two systems: the image, its manifest, and the figures found so far."""

    name: str
    image: LabImage
    about: dict[str, Any]
    boots: list[TimedBoot] = field(default_factory=list)
    values: dict[str, float | None] = field(default_factory=dict)


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    steps = Steps()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `with` is left
    try:
        ws = Workspace.find()
        result = measure(ws, steps, parts=args.parts, rounds=args.rounds, image=args.image)
        if args.docs:
            counting.write_docs(ws.root / DOCS, result.phases())
    except OrlopError as e:
        tail = f"\n{e.tail}" if isinstance(e, CommandFailed) and e.tail else ""
        print(f"error: {e.message}{tail}" + (f"\nhint: {e.hint}" if e.hint else ""), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing is left running", file=sys.stderr)
        return 130
    print(json.dumps(result.json(), indent=2) if args.json else result.text())
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.docs and "counted" not in args.parts:
        parser.error("--docs writes what the part `counted` shows: name it among the parts")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Orlop beside a stock Debian with containerd.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--rounds", type=_rounds, default=3, help="boots of each image, taken in turns (default 3)")
    parser.add_argument("--docs", action="store_true", help=f"write what the part `counted` shows to {DOCS}")
    parser.add_argument("--image", metavar="VERSION", help="measure this image (default: build today's)")
    parser.add_argument(
        "--parts",
        type=_parts,
        default=PARTS,
        metavar=",".join(PARTS),
        help="what to measure (default: all; cold rebuilds everything from nothing, warm rebuilds the image, "
        "counted counts the instructions of first and later boots)",
    )
    return parser


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 99:
        raise argparse.ArgumentTypeError("give a number from 1 to 99")
    return int(text)


def _parts(text: str) -> tuple[str, ...]:
    chosen = text.split(",")
    if unknown := sorted(set(chosen) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in chosen)


@dataclass(frozen=True)
class BenchResult:
    """Everything one run found; `facts` say on what and when."""

    facts: dict[str, Any]
    rows: list[Row]
    boots: dict[str, list[TimedBoot]]
    counted: Mapping[str, Counted]

    def json(self) -> dict[str, Any]:
        boots = {name: [asdict(b) for b in found] for name, found in self.boots.items()}
        counted = {name: boots_of.json() for name, boots_of in self.counted.items()}
        figures = [row.json() for row in self.rows]
        return {"facts": self.facts, "figures": figures, "boots": boots, "counted": counted}

    def text(self) -> str:
        facts = "\n".join(f"{name}: {value}" for name, value in self.facts.items())
        phases = f"\n\n{counting.table(self.counted)}" if self.counted else ""
        return f"{table(self.rows)}{phases}\n\n{facts}"

    def phases(self) -> str:
        """For the docs: what a boot does and costs, and of which image."""
        facts = f"Image {self.facts['image']}, kernel {self.facts['kernel']}, {self.facts['measured']}."
        return f"{facts}\n\n{counting.table(self.counted)}"


def measure(ws: Workspace, steps: Steps, *, parts: Sequence[str], rounds: int, image: str | None = None) -> BenchResult:
    """Measure the chosen parts; what was found is also kept in `.orlop/bench/last.json`."""
    load = os.getloadavg()[0]
    cold = builds.cold_up(ws, steps) if "cold" in parts else None
    warm = builds.warm_build(ws, steps) if "warm" in parts else None
    folder = find(ws, image) if image else build(ws, steps)
    peer = peer_image.ensure(ws, steps)
    ours = Side(
        "orlop",
        resolve(ws, str(folder)),
        dict(read_manifest(folder).about),
        values={"cold_up": cold, "warm_build": warm},
    )
    theirs = Side("peer", resolve(ws, str(peer.disk)), peer.about)
    sides = (ours, theirs)
    if "sizes" in parts:
        for side in sides:
            side.values |= sizes(side.about)
    if "boot" in parts:
        _boot_in_turns(ws, steps, sides, rounds)
    counted = counting.in_turns(ws, steps, {s.name: s.image for s in sides}) if "counted" in parts else {}
    for side in sides:
        side.values |= counted[side.name].values() if counted else {}
    facts = _facts(ours, theirs, load) | counting.facts(counted)
    result = BenchResult(facts, rows(ours.values, theirs.values), {s.name: s.boots for s in sides}, counted)
    write_atomic(ws.state / LAST, json.dumps(result.json(), indent=2) + "\n")
    return result


def _boot_in_turns(ws: Workspace, steps: Steps, sides: Sequence[Side], rounds: int) -> None:
    """A B A B …: what else the computer does meanwhile falls on both. Rest is probed in the last round."""
    for number in range(1, rounds + 1):
        for side in sides:
            with steps.step(f"Boot {number} of {rounds}: {side.name}"):
                last = number == rounds
                side.boots.append(boot(ws, steps, side.image, verdict=side.name == "orlop", want_idle=last))
    for side in sides:
        side.values |= medians([b.stages for b in side.boots])
        at_rest = side.boots[-1].idle
        if at_rest:
            side.values |= {"memory_used": at_rest.memory_used, "processes": len(at_rest.processes)}


def _facts(ours: Side, theirs: Side, load: float) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpus": os.cpu_count(),
        "load before": round(load, 2),
        "image": ours.about["version"],
        "kernel": ours.about["kernel"],
    }
    if theirs.about["kernel"] != ours.about["kernel"]:
        facts["peer's kernel differs"] = theirs.about["kernel"]
    if ours.boots:
        facts["acceleration"] = ours.boots[0].accelerator
        facts["boots of each"] = len(ours.boots)
        most = {side.name: max(b.others for b in side.boots) for side in (ours, theirs)}
        facts["processors other programs kept busy"] = ", ".join(f"{most[s]:.1f} ({s})" for s in most)
        if max(most.values()) > QUIET:
            facts["warning"] = "this computer was not quiet: repeat the boots when it is, their seconds say little"
    return facts


if __name__ == "__main__":
    sys.exit(main())
