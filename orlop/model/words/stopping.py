"""How long a container or a unit says it may take to stop, and how long it is given. Pure.

A unit that says nothing is given `DEFAULT` seconds (os/mkosi.extra/usr/lib/systemd/system.conf.d). podman has a time of
its own for a container, and its unit knows nothing of that: without more it would be killed in the middle of its clean
stop. So a unit is given what its container asks for, and a little longer. Invariant: never more than `MOST`: a machine
that goes down must get there, and systemd cuts off a shutdown after 30 minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DEFAULT = 30  # seconds; DefaultTimeoutStopSec=
MOST = 900
SPARE = 10  # for podman itself, after the container has ended
FOREVER = 1 << 31
_UNITS = {
    "": 1, "s": 1, "sec": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
    "ms": 0.001, "msec": 0.001, "us": 0.000001, "usec": 0.000001,
}  # fmt: skip
_PART = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]*)", re.ASCII)
_LINE = re.compile(r"^[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_ARGUMENT = re.compile(r"--stop-timeout[= ](\d{1,9})(?!\S)", re.ASCII)


def span(text: str) -> float | None:
    """Seconds, of systemd.time(7)'s time span; None when it is not valid."""
    if text == "infinity":
        return FOREVER
    at, total = 0, 0.0
    while at < len(text.rstrip()):
        part = _PART.match(text, at)
        if part is None or part[2] not in _UNITS:
            return None
        total, at = total + float(part[1]) * _UNITS[part[2]], part.end()
    return total if text.strip() else None


def values(texts: Iterable[str], key: str) -> list[str]:
    """What the key is set to in a unit and its drop-ins, in order, whatever the section."""
    return [value for text in texts for name, value in _LINE.findall(text) if name == key]


def container_seconds(texts: Iterable[str]) -> int | None:
    """What a Quadlet file and its drop-ins give the container; None when they say nothing."""
    texts = list(texts)
    arguments = [argument for value in values(texts, "PodmanArgs") for argument in _ARGUMENT.findall(value)]
    given = [*values(texts, "StopTimeout"), *arguments]
    return int(given[-1]) if given and re.fullmatch(r"\d{1,9}", given[-1], re.ASCII) else None


def unit_seconds(texts: Iterable[str]) -> float | None:
    """What a unit and its drop-ins say themselves; None when they say nothing, or nothing that can be read."""
    texts = list(texts)
    spans = values(texts, "TimeoutStopSec") or values(texts, "TimeoutSec")
    if not spans:
        return None
    seconds = span(spans[-1])
    return FOREVER if seconds == 0 and spans[-1].strip() == "0" else seconds


def needed(texts: Iterable[str]) -> int | None:
    """The seconds to give the unit of a Quadlet file; None when it says so itself, or has enough."""
    texts = list(texts)
    seconds = container_seconds(texts)
    if seconds is None or unit_seconds(texts) is not None or seconds + SPARE <= DEFAULT:
        return None
    return min(seconds + SPARE, MOST)
