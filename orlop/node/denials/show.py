"""`orlop denials`: what SELinux has refused in this boot, each in a sentence, with what would allow it.

Exit status: 0 nothing was refused; 1 something was; 2 it could not be told.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterable
from pathlib import Path

from orlop.errors import BadInput, OrlopError
from orlop.model.selinux.denial import as_document, gather, lines

ENFORCE = Path("/sys/fs/selinux/enforce")
# the kernel's lines, in which are those of programs that ask SELinux by themselves: they give them to its audit
_JOURNAL = (
    "journalctl",
    "--boot",
    "--no-pager",
    "--quiet",
    "--output=cat",
    "_TRANSPORT=kernel",
    "+",
    "_TRANSPORT=audit",
)
_SECONDS = 60


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    if not ENFORCE.exists():
        raise BadInput(
            "this machine has no SELinux, so nothing is refused by it",
            hint="`orlop image inspect` says whether an image has it enforced; a container machine has none",
        )
    denials = gather(_journal())
    if args.json:
        print(as_document(denials))
    else:
        print("\n".join(lines(denials)) or "SELinux has refused nothing since this machine started")
    return 1 if denials else 0


def _journal() -> Iterable[str]:
    try:
        done = subprocess.run(_JOURNAL, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise OrlopError(f"the journal cannot be read: {e}", hint="journalctl --verify") from None
    if done.returncode != 0:
        raise OrlopError(f"the journal cannot be read: {done.stderr.strip()}", hint="only root may read all of it")
    return done.stdout.splitlines()
