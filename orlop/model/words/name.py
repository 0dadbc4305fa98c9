"""Names that people give to channels and to groups of machines."""

from __future__ import annotations

import re

ROLES = ("root", "targets", "snapshot", "timestamp")  # of a repository's own: a channel is a role beside them
SAID = "a small letter, then at most 30 small letters, digits and -"


def is_name(text: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9-]{0,30}", text) is not None


def is_channel(text: str) -> bool:
    """Whether it is a name, and no role of a repository has it already."""
    return is_name(text) and text not in ROLES
