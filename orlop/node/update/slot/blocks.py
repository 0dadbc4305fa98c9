"""What the blocks of a device hold, against what a release says of them."""

from __future__ import annotations

from collections.abc import Generator
from io import BytesIO

from orlop.model.release.index import BLOCK, DIGEST, Part
from orlop.node.update.blobs.fetch import digests
from orlop.node.update.blobs.plan import ZERO
from orlop.node.update.slot import device
from orlop.node.update.slot.device import PIECE, Device, Forgiving
from orlop.node.update.slot.progress import Moved
from orlop.node.update.slot.verity import Damaged

_EMPTY = bytes(PIECE)


def scan(source: Device, size: int) -> Generator[Moved, None, bytes]:
    """The digest of each of its first blocks; of one that cannot be read, a digest that no release has."""
    hashes = BytesIO()  # what it gives is not a copy
    for piece in device.stream(Forgiving(source), 0, min(size, source.size)):
        yield Moved(looked=len(piece))
        empty = len(piece) == PIECE and piece.tobytes() == _EMPTY
        hashes.write(ZERO * (len(piece) // BLOCK) if empty else digests(piece))
    return hashes.getvalue()


def matches(source: Device, part: Part, what: str) -> None:
    """Raises Damaged when its first bytes are not the part's. `what`: what it is, for the message."""
    at = 0
    for piece in device.stream(source, 0, part.size):
        hashes = digests(piece)
        if hashes != part.digests[at // BLOCK * DIGEST :][: len(hashes)]:
            break
        at += len(piece)
    if at < part.size:
        raise Damaged(f"{what} is not what the release promises, at byte {at} or soon after")
