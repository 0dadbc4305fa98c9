"""Text that others wrote, as it may be remembered and shown: one line, bounded, every character printable.

Why: such text goes to terminals, into the journal's records, and to systemd, where a line's end begins another message.
"""

from __future__ import annotations

MOST = 200  # characters of a reason or an answer
MAX_FAILURE = 1000  # of what went wrong, of which an answer from outside is a part


def line(text: str, most: int = MOST) -> str:
    """The text without what is not so; what was too long ends in `…`."""
    shown = "".join(_shown(c) for c in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
