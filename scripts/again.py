#!/usr/bin/env python3
"""A second try for the few tests that failed: `again.py PYTEST…` runs that pytest, then what failed in it once more.

A computer whose processors are taken away for seconds makes a test of many processes fail now and then, and one such
failure among six hundred would hide what the others say. So what failed is run once more, by itself and one after the
other. What fails then too has failed. What passes then is *unsteady*: it is named at the end, so that it is mended.

Not tried again: anything when more than AT_MOST tests failed, since then something is wrong for all of them; and what a
machine told of on its console, which is as true when it is rare. The exit status is pytest's, of the last run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

AT_MOST = 5  # failed tests
TELLING = "on the consoles (kept in"  # how tests/machines/machines.py begins to say what a console told
_FAILED = re.compile(  # a line of pytest's short summary; a parameter may hold anything, the name before it no space
    r"^(?:FAILED|ERROR) (tests/[^\s:]+(?:::\w+)+(?:\[.*?\](?= - |$))?)(?: - .*)?$", re.MULTILINE
)
_SOME_FAILED = 1  # pytest's status when tests ran and some failed; others mean that it did not run as it should


def worth_it(code: int, said: str) -> list[str]:
    """The tests to run again, of a pytest that ended with `code` and said this; none when that would hide something.

    A test that has both failed and could not be taken down stands once, in the order of the summary.
    """
    tests = list(dict.fromkeys(_FAILED.findall(said)))
    if code != _SOME_FAILED or TELLING in said or len(tests) > AT_MOST:
        return []
    return tests


def unsteady(tests: Sequence[str]) -> str:
    """What the end says of tests that passed the second time."""
    return "\n".join(["── unsteady: failed, and passed when run once more", *(f"~ {test}" for test in tests)])


def alone(pytest: Sequence[str]) -> list[str]:
    """The command without what chooses tests by place, and without other processes beside it."""
    left = [word for word in pytest if word != "tests" and not word.startswith("tests/")]
    for option in ("-n", "--dist"):
        if option in left:
            del left[left.index(option) : left.index(option) + 2]
    return left


def main(*pytest: str) -> int:
    said = ""
    with subprocess.Popen(pytest, stdout=subprocess.PIPE, text=True, errors="replace") as first:
        assert first.stdout is not None
        for line in first.stdout:
            print(line, end="", flush=True)
            said += line
    if not (tests := worth_it(first.returncode, said)):
        return first.returncode
    print(f"── once more: {len(tests)} that failed", flush=True)
    second = subprocess.run([*alone(pytest), *tests], check=False).returncode
    if second == 0:
        print(unsteady(tests), flush=True)
    return second


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
