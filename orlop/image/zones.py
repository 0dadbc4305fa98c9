"""The time zones of an image: every one that a configuration may name must be there.

Why here: `orlop config check` and the node go by one list (orlop.model.settings.zones), and the list is right for as
long as the image keeps what it promises. A package that drops a zone stops the build, not a machine.
"""

from __future__ import annotations

from pathlib import Path

from orlop.errors import BadInput
from orlop.model.settings.zones import ZONES

FOLDER = "usr/share/zoneinfo"
_MAGIC = b"TZif"  # tzfile(5)
# no place's time: what a system without a setting shows, and links to what was set
_NO_PLACES = ("Factory", "localtime", "posixrules")


def there(tree: Path) -> frozenset[str]:
    """The names of the zones in the image's tree."""
    files = (path for path in (tree / FOLDER).rglob("*") if path.is_file())
    names = (str(path.relative_to(tree / FOLDER)) for path in files if path.read_bytes()[:4] == _MAGIC)
    return frozenset(name for name in names if name not in _NO_PLACES)


def check(tree: Path) -> None:
    """Raises BadInput when the image lacks a zone that configurations may name."""
    if lacking := sorted(ZONES - there(tree)):
        raise BadInput(
            f"the image lacks {len(lacking)} time zones that a configuration may name: {', '.join(lacking[:5])}",
            hint="keep them (os/prune), or take them off orlop/model/settings/zones.py: then no machine may have them",
        )
