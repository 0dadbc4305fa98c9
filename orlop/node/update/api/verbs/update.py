"""`orlop node update`: go to a version now, and show how it goes until it is staged.

Exit status: 0 the version is staged, or there is nothing to update to; 2 it did not work.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from orlop.errors import Missing, OrlopError
from orlop.model.update import status
from orlop.node.update.api.client import ask, the_status

LOOK_SECONDS = 0.5
RESTART_SECONDS = 10.0  # an engine that does not answer may be starting anew, and goes on from where it was


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="VERSION", help="this version, older or on the deny list or not")
    parser.add_argument("--from", dest="place", default="", metavar="URL|DIR", help="another repository than its own")
    parser.add_argument(
        "--allow-unsigned", action="store_true", help="--from is a bare image, which nobody signed (development)"
    )
    parser.add_argument("--no-reboot", action="store_true", help="only stage it; somebody reboots the machine later")
    parser.add_argument("--no-wait", action="store_true", help="return when the engine has taken it up")


def run(args: argparse.Namespace) -> int:
    values = {"from": _place(args.place), "allow_unsigned": args.allow_unsigned, "reboot": not args.no_reboot}
    taken = ask("POST", "/v1/update", values | ({"to": args.to} if args.to else {}))
    print(taken["message"], flush=True)
    if taken["version"] is None or args.no_wait:
        return 0
    return follow(taken["version"])


def _place(text: str) -> str:
    """A folder is named from where the caller stands; the engine stands elsewhere."""
    return text if "://" in text or not text else str(Path(text).resolve())


def _look() -> status.Document:
    """The status. Raises OrlopError when the engine does not answer for longer than it takes to start anew."""
    until = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            return the_status()
        except Missing:
            if time.monotonic() > until:
                raise
        time.sleep(LOOK_SECONDS)


def follow(version: str) -> int:
    """Until the version is staged, or the engine gave it up or has to wait. Raises OrlopError with its reason."""
    shown, tty = "", sys.stdout.isatty()
    while True:
        document = _look()
        state = document["state"]
        if state["is"] == "staged" and document["reboot"] == "now":
            time.sleep(LOOK_SECONDS)  # it is about to reboot, or says what it waits for
            document = _look()
            state = document["state"]
        if not status.under_way(document, version):
            break
        if document["failures"]:
            raise OrlopError(document["failure"], hint="the engine tries again by itself: orlop node status")
        line = status.progress_text(document) or f"{state['is']} {version}"
        if line != shown:
            print(f"\r\x1b[K{line}" if tty else line, end="" if tty else "\n", flush=True)
            shown = line
        time.sleep(LOOK_SECONDS)
    if tty and shown:
        print()
    if state["is"] in ("staged", "rebooting") and state.get("version") == version:
        print(document["reason"])
        return 0
    raise OrlopError(f"{version} was not staged: {document['reason']}", hint="orlop node status")
