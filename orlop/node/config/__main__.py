"""`python -m orlop.node.config`: configure the new root below /sysroot, from the initrd. Exit status 1: it cannot be.

What the operator must know goes to the console, whose log the lab and the tests read; the rest to the journal.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orlop.node.config.run import Boot

ROOT = Path("/sysroot")
CONSOLE = Path("/dev/console")


def say(line: str) -> None:
    text = f"orlop-config: {line}"
    print(text, file=sys.stderr, flush=True)
    with CONSOLE.open("w") as console:
        console.write(text + "\n")


def main() -> int:
    boot = Boot(ROOT, Path("/run/orlop"), ROOT / "var/lib/orlop", say)
    return 0 if boot.go() else 1


if __name__ == "__main__":
    sys.exit(main())
