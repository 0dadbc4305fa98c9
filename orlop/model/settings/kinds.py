"""What the value of a setting may be: one rule each, asked where a configuration is written and where it is read.

A kind turns the text of a value into what programs work with, or says why it cannot. Its `said` ends the sentence
"NAME must be …": in errors on both sides, and in the reference. What is accepted here has a length and no character
that a file of settings could not hold.

Patterns are text, not compiled: most configurations use few of them, and compiling takes longer than translating a
small one. For the same reason modules that few values need are imported where they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from orlop.errors import BadInput
from orlop.model.words import address, name

if TYPE_CHECKING:
    from datetime import time

    from orlop.model.words.version import Version

V = TypeVar("V")

MAX_URL = 2000  # characters
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"k": 1_000, "M": 1_000_000}
_LEAST_BANDWIDTH = 10_000  # bytes a second: with less, a release takes longer than the time to the next


@dataclass(frozen=True)
class ValueKind(Generic[V]):
    """`value` is the value of a text; it raises ValueError, whose words, if there are any, say why there is none.

    `choices`: the only texts there are, where they can be counted. `secret`: a text may hold a password, and no error
    repeats it.
    """

    said: str
    value: Callable[[str], V]
    choices: tuple[str, ...] = ()
    secret: bool = False

    def read(self, text: str, called: str) -> V:
        """The value. Raises BadInput, which begins with what the setting is called."""
        try:
            return self.value(text)
        except ValueError as e:
            shown = "" if self.secret else f", not {_short(text)!r}"
            raise BadInput(f"{called} must be {self.said}{shown}" + (f": {e}" if str(e) else "")) from None


@dataclass(frozen=True)
class WholeNumber:
    """A whole number."""

    least: int
    most: int
    unit: str

    @property
    def said(self) -> str:
        return f"{self.least} to {self.most} {self.unit}"

    def read(self, value: int, called: str) -> int:
        """Raises BadInput, as `ValueKind.read`."""
        if not self.least <= value <= self.most:
            raise BadInput(f"{called} must be {self.said}, not {value}")
        return value


def where(holds: Callable[[str], bool], said: str, choices: tuple[str, ...] = ()) -> ValueKind[str]:
    """Texts of which something holds."""

    def value(text: str) -> str:
        if not holds(text):
            raise ValueError
        return text

    return ValueKind(said, value, choices)


def matching(pattern: str, said: str) -> ValueKind[str]:
    return where(lambda text: re.fullmatch(pattern, text) is not None, said)


def one_of(*choices: str) -> ValueKind[str]:
    return where(choices.__contains__, f"one of {', '.join(choices)}", choices)


def without(problem: Callable[[str], str], said: str, *, secret: bool = False) -> ValueKind[str]:
    """Texts in which `problem` finds none."""

    def value(text: str) -> str:
        if why := problem(text):
            raise ValueError(why)
        return text

    return ValueKind(said, value, secret=secret)


def duration(least: str, most: str) -> ValueKind[int]:
    """A length of time, in seconds."""

    def value(text: str) -> int:
        seconds = _seconds(text)
        if not _seconds(least) <= seconds <= _seconds(most):
            raise ValueError
        return seconds

    return ValueKind(f"a number and s, m or h, from {least} to {most}", value)


def _seconds(text: str) -> int:
    parts = re.fullmatch(r"(0|[1-9][0-9]{0,5})([smh])", text)
    if not parts:
        raise ValueError
    return int(parts[1]) * _SECONDS[parts[2]]


def _bandwidth(text: str) -> int:
    """In bytes a second."""
    parts = re.fullmatch(r"([1-9][0-9]{0,4})([kM])", text)
    rate = int(parts[1]) * _BYTES[parts[2]] if parts else 0
    if rate < _LEAST_BANDWIDTH:
        raise ValueError
    return rate


def _version(text: str) -> Version:
    from orlop.model.words.version import Version

    try:
        return Version.parse(text)
    except BadInput:
        raise ValueError from None


def _time_of_day(text: str) -> time:
    from datetime import time

    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError
    return time(int(text[:2]), int(text[3:]))


def _is_zone(text: str) -> bool:
    from orlop.model.settings.zones import ZONES

    return text in ZONES


def _web_problem(url: str) -> str:
    return f"it has more than {MAX_URL} characters" if len(url) > MAX_URL else address.web_problem(url)


def _source_problem(url: str) -> str:
    if not url.startswith("file:///") or len(url) > MAX_URL:
        return _web_problem(url)
    return address.place_problem(url)


def _proxy_problem(url: str) -> str:
    return _web_problem(url) if url.startswith("http://") else "the proxy itself is spoken to in http"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


TEXT: ValueKind[str] = ValueKind("text", str)
LOCAL: ValueKind[str] = ValueKind("the path of a file below the files directory", str)
HOST_NAME = matching(
    rf"(?=.{{1,64}}\Z){_LABEL}(\.{_LABEL})*", "letters, digits and -, in parts joined by dots, at most 64 characters"
)
FILE_NAME = matching(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", "letters, digits, `.`, `_` and `-`, at most 128")
CHANNEL = where(name.is_channel, f"{name.SAID}, and none of {', '.join(name.ROLES)}")
GROUP = where(name.is_name, name.SAID)
VERSION = ValueKind("a version such as 20261123.1", _version)
SOURCE = without(_source_problem, "http://…, https://… or file:///FOLDER", secret=True)
WEB = without(_web_problem, "http://… or https://…", secret=True)
PROXY = without(_proxy_problem, "http://[USER:PASSWORD@]HOST:PORT", secret=True)
UNPROXIED = matching(r"\*|\.?[A-Za-z0-9:._-]{1,253}", "the name of a host, an address, or .DOMAIN")
BANDWIDTH = ValueKind("a number and k or M, bytes a second, from 10k to 99999M", _bandwidth)
TIME_OF_DAY = ValueKind("a time as in `02:30`", _time_of_day)
ZONE = where(_is_zone, "a time zone of the image, such as UTC or Europe/Berlin")
LOCK_GROUP = matching(r"[A-Za-z0-9.-]{1,253}", "letters, digits, `.` and `-`")
