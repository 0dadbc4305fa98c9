r"""Patterns as fleet has them: Go's path.Match, of Conflicts and Replaces.

    *       any characters but /        [a-z]   one of them; [^a-z] none of them
    ?       one character but /         \x      the character x itself

What differs from a shell: ! does not negate; ] and - stand in a class only behind \.
"""

from __future__ import annotations

import re
from functools import lru_cache

from orlop.errors import BadInput

LONGEST = 256  # characters; no name of a unit is longer


@lru_cache(maxsize=16384)
def compiled(pattern: str) -> re.Pattern[str]:
    """Raises BadInput for what Go calls a bad pattern."""
    if len(pattern) > LONGEST:
        raise BadInput(f"the pattern {pattern[:40]!r}… has more than {LONGEST} characters")
    out, place = [], 0
    while place < len(pattern):
        char = pattern[place]
        place += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            made, place = _class(pattern, place)
            out.append(made)
        elif char == "\\":
            literal, place = _char(pattern, place - 1)
            out.append(re.escape(literal))
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


@lru_cache(maxsize=1 << 17)  # the scheduler asks the same again and again
def matches(pattern: str, name: str) -> bool:
    """Whether all of `name` is what the pattern says. Raises BadInput."""
    return compiled(pattern).fullmatch(name) is not None


def _class(pattern: str, place: int) -> tuple[str, int]:
    """From behind the [: as a regular expression, and where it ends."""
    negated = pattern[place : place + 1] == "^"
    place += negated
    ranges = ""
    while pattern[place : place + 1] != "]" or not ranges:
        low, place = _member(pattern, place)
        high = low
        if pattern[place : place + 1] == "-":
            high, place = _member(pattern, place + 1)
        # a range that runs backwards matches nothing in Go; in a regular expression it is an error
        ranges += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
        if low > high and not ranges:
            raise _bad(pattern, f"the range {low}-{high} runs backwards")
    return f"[{'^' if negated else ''}{ranges}]", place + 1


def _member(pattern: str, place: int) -> tuple[str, int]:
    if pattern[place : place + 1] in {"", "-", "]"}:
        raise _bad(pattern, "a [ has no ] that ends it, or ] or - stands in it without \\")
    return _char(pattern, place)


def _char(pattern: str, place: int) -> tuple[str, int]:
    if pattern[place] != "\\":
        return pattern[place], place + 1
    if place + 1 >= len(pattern):
        raise _bad(pattern, "it ends in \\")
    return pattern[place + 1], place + 2


def _bad(pattern: str, why: str) -> BadInput:
    return BadInput(f"{pattern!r} is not a valid pattern: {why}")
