"""The `orlop` command on a machine: `orlop VERB …`, or with the operator's words `orlop node VERB …`.

Each verb is a module that is imported when it is asked for. Errors are as everywhere: two lines, `error:` and `hint:`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from orlop.errors import OrlopError

COULD_NOT = 2


def main(argv: Sequence[str]) -> int:
    """Run one verb and return the exit status: its own, or 2 when it could not."""
    words = list(argv[1:] if argv[:1] == ["node"] else argv)
    parser = argparse.ArgumentParser(prog="orlop", description="This machine.", allow_abbrev=False)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    del verbs
    args = parser.parse_args(words)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except OrlopError as e:
        print(f"error: {e.message}", file=sys.stderr)
        if e.hint:
            print(f"hint: {e.hint}", file=sys.stderr)
        return COULD_NOT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
