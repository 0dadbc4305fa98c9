"""What can go wrong between a machine and a release repository.

    OrlopError
    ├── Refused          it is not signed as it must be, is older than what is known, damaged or too large
    │   └── Expired      it is signed, and its time is over: a server that holds back, or a clock that is wrong
    └── Unreachable      no answer, or none in time: try again later
        └── Overloaded   a server that says so, and perhaps when to come again

Invariant: after any of them what was trusted before is trusted still, and nothing else is.
"""

from __future__ import annotations

from datetime import timedelta

from orlop.errors import OrlopError


class Refused(OrlopError):
    pass


class Expired(Refused):
    pass


class Unreachable(OrlopError):
    pass


class Overloaded(Unreachable):
    """`after` is how long the server wants to be left alone, None when it does not say."""

    def __init__(self, message: str, *, hint: str = "", after: timedelta | None = None) -> None:
        super().__init__(message, hint=hint)
        self.after = after
