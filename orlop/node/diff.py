"""`orlop node diff`: what this machine has beyond its image and its configuration.

Exit status: 0 no difference; 1 there are some; 2 it could not be told.
"""

from __future__ import annotations

import argparse
import sys

from orlop.model.drifttext import differences_text, lines
from orlop.node.drift import differences


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    found = differences()
    sys.stdout.write(differences_text(found) + "\n" if args.json else "".join(f"{line}\n" for line in lines(found)))
    if not found and not args.json:
        sys.stdout.write("no difference: this machine is its image and its configuration\n")
    return 1 if found else 0
