"""`orlop node denylist`: the versions that failed here and why; `--allow VERSION` lets one be tried again."""

from __future__ import annotations

import argparse
import json

from orlop.model.words.version import Version
from orlop.node.update.api.client import ask


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow", metavar="VERSION", help="take this version off the list")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    if args.allow:
        print(ask("DELETE", f"/v1/denylist/{Version.parse(args.allow)}")["message"])
        return 0
    denied = ask("GET", "/v1/denylist")["denied"]
    if args.json:
        print(json.dumps(denied, indent=2))
        return 0
    for entry in denied:
        print(f"{entry['version']}  {entry['at']}  {entry['reason']}")
        print("".join(f"    {line}\n" for line in entry["excerpt"].splitlines()), end="")
    if not denied:
        print("no version is denied")
    return 0
