"""Ask a metadata service, as a value."""

from __future__ import annotations

from collections.abc import Mapping

from orlop.lab.metadata.http import Answer, Instance, MetadataRequest
from orlop.lab.metadata.services import SERVICES

NOW = 1_700_000_000.0
N1 = Instance("n1", b'{"ignition": {"version": "3.3.0"}}')
BARE = Instance("n1", None)


def ask(
    service: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    instance: Instance = N1,
    now: float = NOW,
) -> Answer:
    named = {name.lower(): value for name, value in (headers or {}).items()}
    return SERVICES[service](instance, MetadataRequest(method, target, named, now))
