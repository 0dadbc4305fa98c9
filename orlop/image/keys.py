"""The root keys of a release repository, put into an image: what its machines believe from their first boot on.

They are given with `orlop image build --root FILE`, or ORLOP_ROOT, or lie in os/root.json. An image without any is good
for everything but updates from a repository, and its machines say so.

Invariant: what is in an image was checked to be a root that vouches for itself. That it is the right one, nobody can
check here.
"""

from __future__ import annotations

import os
from pathlib import Path

from orlop.errors import BadInput
from orlop.image.runtime import PLACE
from orlop.trust import verify
from orlop.trust.errors import Refused
from orlop.workspace import Workspace

NAME = "usr/share/orlop/root.json"
VARIABLE = "ORLOP_ROOT"


def find(ws: Workspace, given: Path | None = None) -> bytes | None:
    """The root that an image is to have. Raises BadInput when there is one, and it is not valid."""
    named = given or (Path(name) if (name := os.environ.get(VARIABLE)) else None)
    path = named or ws.os_tree / "root.json"
    if named is None and not path.exists():
        return None
    hint = "give the root.json that `orlop release init` left, or metadata/1.root.json of the repository"
    try:
        with path.open("rb") as f:
            raw = f.read(verify.MAX_ROOT + 1)
        verify.given_root(raw)
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}", hint=hint) from None
    except Refused as e:
        raise BadInput(f"{path} holds no root keys: {e.message}", hint=hint) from None
    return raw


def install(tree: Path, raw: bytes) -> None:
    """For the host, and under a second name for the programs that have the private Python's tree as their root."""
    for place in (tree / NAME, tree / PLACE / NAME):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)
        place.chmod(0o644)
