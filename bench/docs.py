"""Where a page has what a bench has found: between two comments, and replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from orlop.errors import BadInput
from orlop.files import write_atomic


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put the text where the page has the last one. Raises BadInput when it has no place for it."""
    before, found, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise BadInput(f"{page} does not say where this belongs", hint=f"between {begin} and {end}")
    write_atomic(page, f"{before}{begin}\n\n{text}\n\n{end}{after}")
