"""`orlop node status`: what runs, what is in the other slot, and why this machine does or does not update."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from orlop.errors import Missing
from orlop.model.update import ailing, status
from orlop.model.update.reboot import Immediate
from orlop.node.update.api.client import the_status


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    try:
        document = the_status()
    except Missing:
        if not args.json:
            print("".join(f"{text}\n" for text in of_the_machine(Path("/"))), end="", flush=True)
        raise
    print(json.dumps(document, indent=2) if args.json else "\n".join(status.lines(document)))
    return 0


def of_the_machine(top: Path) -> list[str]:
    """What is known without the engine, which may be what is wrong; a container machine has none."""
    from orlop.node.update.host import Host  # a status with an engine does without, and emulated machines are slow
    from orlop.node.update.troubles import Troubles

    host = Host(top)
    doc = status.health_part(host.health()) | ailing.part(Troubles(host).now(), None, Immediate(), datetime.now(UTC))
    return [f"{name:<9} {text}".rstrip() for name, text in status.health_rows(doc)]
