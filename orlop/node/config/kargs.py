"""`ignition-kargs-helper`: what Ignition calls about the kernel arguments of a configuration.

The command line is sealed in the UKI: what the image says there cannot be taken away, and that is said. Until arguments
can be added to it, the arguments that should be there must be there already, from the image or from the firmware.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from orlop.node.config import facts


def parse(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that should and should not be there, from `--should-exist A --should-not-exist B …`."""
    wanted: dict[str, list[str]] = {"--should-exist": [], "--should-not-exist": []}
    for option, value in zip(words[::2], words[1::2], strict=True):
        wanted[option].append(value)
    return wanted["--should-exist"], wanted["--should-not-exist"]


def judge(present: Sequence[str], exist: Sequence[str], not_exist: Sequence[str]) -> str:
    """Why the command line is not as wished, or "". One wish may hold several words, in that order."""
    missing = [wish for wish in exist if not holds(present, wish)]
    unwanted = [wish for wish in not_exist if holds(present, wish)]
    reasons = []
    if missing:
        reasons.append(f"not on the kernel command line: {', '.join(missing)}")
    if unwanted:
        reasons.append(f"on the kernel command line, which is sealed with the image: {', '.join(unwanted)}")
    return "; ".join(reasons)


def holds(present: Sequence[str], wish: str) -> bool:
    words = wish.split()
    return any(list(present[i : i + len(words)]) == words for i in range(len(present) - len(words) + 1))


def main() -> int:
    why = judge(facts.arguments(), *parse(sys.argv[1:]))
    if why:
        print(why, file=sys.stderr)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
