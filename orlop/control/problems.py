"""What is answered when something is refused: `application/problem+json`, RFC 9457.

`title` is the same for all of its kind; `detail` is the error's own words and `hint` what to do next, as on the command
line. Nothing of a defect is told to the outside but that there is one: its traceback is in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from orlop.control.records import Doubled
from orlop.errors import BadInput, Busy, Missing, NotAllowed, OrlopError
from orlop.store.protocol import Compacted, Conflict, StoreFull, TooLarge, Unavailable, Unsettled

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 2


class ApiProblem(Exception):
    """Raised by a route, answered by `api.asked`. `more`: further members of the answer."""

    def __init__(self, status: int, detail: str, hint: str = "", headers: dict[str, str] | None = None,
                 more: Mapping[str, str] | None = None) -> None:  # fmt: skip
        super().__init__(detail)
        self.status, self.detail, self.hint, self.headers, self.more = status, detail, hint, headers or {}, more or {}

    @property
    def body(self) -> bytes:
        about = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        words = {"detail": self.detail} | ({"hint": self.hint} if self.hint else {})
        return json.dumps(about | words | dict(self.more)).encode()


# the first that fits, so each before the kind it is one of
_STATUSES: tuple[tuple[type[OrlopError], int], ...] = (
    (Conflict, 412),
    (Compacted, 410),
    (Unsettled, 503),
    (Unavailable, 503),
    (StoreFull, 507),
    (TooLarge, 413),
    (Doubled, 409),
    (NotAllowed, 403),
    (Missing, 404),
    (Busy, 429),
    (BadInput, 400),
)


def of(error: OrlopError) -> ApiProblem:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, Compacted):
        return ApiProblem(410, "this list was begun too long ago: what it was made of is gone", "begin it again")
    headers = {"Retry-After": str(RETRY_SECONDS)} if status in {429, 503} else {}
    return ApiProblem(status, error.message, error.hint, headers)
