"""What can go wrong between this program and a server; a folder that stands for one fails in the same words.

    OrlopError
    └── NetError
        ├── Unreachable      it did not answer, stopped, was too slow, or cannot now: try again, or another
        │   └── Overloaded   it says so, and perhaps when to come again
        ├── Absent           it does not have it
        ├── Lying            what it says or sends contradicts itself, or what was promised of it
        └── TooLong          it sends more bytes than there may be

Invariant: nothing that was believed before is worth less after any of them. Whether bytes are what they should be is
said elsewhere, by who knows a hash or a signature.
"""

from __future__ import annotations

from datetime import timedelta

from orlop.errors import OrlopError


class NetError(OrlopError):
    pass


class Unreachable(NetError):
    pass


class Overloaded(Unreachable):
    """`after` is how long the server wants to be left alone, None when it does not say."""

    def __init__(self, message: str, *, hint: str = "", after: timedelta | None = None) -> None:
        super().__init__(message, hint=hint)
        self.after = after


class Absent(NetError):
    pass


class Lying(NetError):
    pass


class TooLong(NetError):
    pass
