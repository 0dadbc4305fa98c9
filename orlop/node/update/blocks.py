"""What the blocks of a device hold, against what a release says of them."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from orlop.model.index import BLOCK, DIGEST, Part
from orlop.node.update import device
from orlop.node.update.device import PIECE, Device, Forgiving
from orlop.node.update.fetch import digests
from orlop.node.update.plan import ZERO
from orlop.node.update.verity import Damaged

_EMPTY = bytes(PIECE)


def scan(source: Device, size: int, alive: Callable[[], None]) -> bytes:
    """The digest of each of its first blocks; of one that cannot be read, a digest that no release has.

    `alive` is called on the way.
    """
    found = BytesIO()  # what it gives is not a copy
    for piece in device.stream(Forgiving(source), 0, min(size, source.size)):
        alive()
        empty = len(piece) == PIECE and piece.tobytes() == _EMPTY
        found.write(ZERO * (len(piece) // BLOCK) if empty else digests(piece))
    return found.getvalue()


def matches(source: Device, part: Part, what: str) -> None:
    """Raises Damaged when its first bytes are not the part's. `what`: what it is, for the message."""
    at = 0
    for piece in device.stream(source, 0, part.size):
        made = digests(piece)
        if made != part.digests[at // BLOCK * DIGEST :][: len(made)]:
            break
        at += len(piece)
    if at < part.size:
        raise Damaged(f"{what} is not what the release promises, at byte {at} or soon after")
