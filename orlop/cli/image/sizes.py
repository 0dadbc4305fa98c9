"""How sizes are said."""

from __future__ import annotations


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def signed(difference: int) -> str:
    """A difference in the unit that shows it."""
    if difference == 0:
        return "±0"
    if abs(difference) < 1000:
        return f"{difference:+} bytes"
    return f"{difference / 1e3:+.1f} kB" if abs(difference) < 100_000 else f"{difference / 1e6:+.1f} MB"
