"""Ask the engine of this machine, over its socket. See `orlop.node.update.api.server`.

Lifetime: one connection a request. Invariant: what the engine refuses comes back as the error it was, with its hint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orlop.errors import BadInput, Missing, OrlopError
from orlop.model.update import status
from orlop.net.errors import Lying, Unreachable
from orlop.net.local import client
from orlop.node.update.api import SOCKET

SECONDS = 20.0
CHANGE_SECONDS = 330.0  # a change may wait for the engine
CONTAINER = Path("/run/systemd/container")  # written by systemd in a container


def ask(method: str, path: str, values: dict[str, Any] | None = None, *, at: Path = SOCKET) -> dict[str, Any]:
    """The answer's object. Raises OrlopError: the engine's own words, or that it does not answer."""
    try:
        code, answer = client.ask(at, method, path, values, SECONDS if method == "GET" else CHANGE_SECONDS)
    except Unreachable as e:
        if CONTAINER.exists():
            raise Missing(
                "this is a container machine: it has no slots, and so no update engine",
                hint="what it runs is the image of its lab; updates are for whole machines (`orlop lab up --kind vm`)",
            ) from None
        raise Missing(
            f"the update engine does not answer: {e.message}",
            hint="systemctl status orlop-update.service orlop-update.socket",
        ) from None
    except Lying as e:
        raise OrlopError(f"the update engine: {e.message}", hint="journalctl -u orlop-update.service") from None
    if code != 200:
        kind = BadInput if code < 500 else OrlopError
        raise kind(str(answer.get("error", f"the update engine answers {code}")), hint=str(answer.get("hint", "")))
    return answer


def the_status(*, at: Path = SOCKET) -> status.Document:
    return status.parse(json.dumps(ask("GET", "/v1/status", at=at)), "the status")
