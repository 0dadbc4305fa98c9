"""What a release repository can be refused for. That it does not answer is `orlop.net.errors`' to say.

    OrlopError
    └── Refused          it is not signed as it must be, is older than what is known, damaged or too large
        └── Expired      it is signed, and its time is over: a server that holds back, or a clock that is wrong

Invariant: after any of them what was trusted before is trusted still, and nothing else is.
"""

from __future__ import annotations

from orlop.errors import OrlopError


class Refused(OrlopError):
    pass


class Expired(Refused):
    pass
