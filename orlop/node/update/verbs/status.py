"""`orlop node status`: what runs, what is in the other slot, and why this machine does or does not update."""

from __future__ import annotations

import argparse
import json

from orlop.model import status
from orlop.node.update.client import the_status


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    found = the_status()
    print(json.dumps(found, indent=2) if args.json else "\n".join(status.lines(found)))
    return 0
