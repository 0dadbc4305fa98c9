"""`orlop node diff`: what this machine has beyond its image and its configuration.

Exit status: 0 no difference; 1 there are some; 2 it could not be told.
"""

from __future__ import annotations

import argparse
import sys

from orlop.model.drift.text import differences_text, lines
from orlop.node.drift.snapshot import differences


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    differences_there = differences()
    sys.stdout.write(
        differences_text(differences_there) + "\n"
        if args.json
        else "".join(f"{line}\n" for line in lines(differences_there))
    )
    if not differences_there and not args.json:
        sys.stdout.write("no difference: this machine is its image and its configuration\n")
    return 1 if differences_there else 0
