"""`python -m orlop.node.config`: configure the new root below /sysroot, from the initrd. Exit status 1: it cannot be.
With the word `container`: configure / itself, as process 1 of a container machine. Started by os/…/lib/orlop/configure,
which does without it where no source has a configuration.

What the operator must know goes to the console, whose log the lab and the tests read; the rest to the journal.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from orlop.node.config.run import Boot
from orlop.node.config.surroundings import Surroundings

ROOT = Path("/sysroot")
CONSOLE = Path("/dev/console")


def say(line: str) -> None:
    text = f"orlop-config: {line}"
    print(text, file=sys.stderr, flush=True)
    with CONSOLE.open("w") as console:
        console.write(text + "\n")


def main(argv: Sequence[str]) -> int:
    root, around = ROOT, Surroundings()
    if argv[:1] == ["container"]:
        from orlop.node.config.container import Container  # for nobody else: a boot pays for each import

        root, around = Path("/"), Container()
    boot = Boot(root, Path("/run/orlop"), root / "var/lib/orlop", say, around)
    return 0 if boot.go() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
