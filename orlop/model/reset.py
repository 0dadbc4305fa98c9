"""A factory reset: what is asked for, and what then stays of /var.

Why a request: nothing can empty /var while the machine runs from it. So the wish is written down, and the next boot
fulfils it before anything of the system starts. Invariant: the request is the last thing to go, so a reset that was
interrupted is begun again, and doing it twice does no more than doing it once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from orlop.errors import BadInput

VAR = "/var"
REQUEST = "/var/lib/orlop/reset.json"
RESULT = "/run/orlop/reset.json"
SCHEMA = 1
MAX_KEPT = 64
MAX_LENGTH = 1024  # of a path, in bytes


@dataclass(frozen=True)
class Request:
    """`keep`: plain absolute paths below /var, sorted, none inside another."""

    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[str]) -> Request:
        """Raises BadInput naming the path that cannot be kept."""
        given = sorted({_checked(path) for path in paths})
        if len(given) > MAX_KEPT:
            raise BadInput(
                f"{len(given)} paths to keep are too many, {MAX_KEPT} are the most",
                hint="keep the folder that holds them",
            )
        return cls(tuple(p for p in given if not any(p.startswith(other + "/") for other in given)))

    def text(self) -> str:
        return json.dumps({"schema": SCHEMA, "keep": self.keep}) + "\n"

    @classmethod
    def parse(cls, text: str | bytes) -> Request:
        """The inverse of `text`. Raises BadInput."""
        try:
            about = json.loads(text)
            schema, keep = about["schema"], about["keep"]
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"{REQUEST} is no request for a reset", hint="orlop node reset") from None
        if schema != SCHEMA or not isinstance(keep, list) or not all(isinstance(path, str) for path in keep):
            raise BadInput(f"{REQUEST} is of another version of this system", hint="orlop node reset")
        return cls.of(keep)

    def stays(self, path: str) -> Stays:
        """What becomes of `path`, which is below /var."""
        if path in self.keep:
            return Stays.WHOLE
        leads = any(kept.startswith(path + "/") for kept in (*self.keep, REQUEST))
        return Stays.AS_FOLDER if leads or path == VAR else Stays.WHOLE if path == REQUEST else Stays.NOT


class Stays(StrEnum):
    WHOLE = "whole"
    AS_FOLDER = "as a folder"
    NOT = "not"


def _checked(path: str) -> str:
    hint = f"give a plain absolute path below {VAR}, for example --keep {VAR}/lib/containers"
    trimmed = path.rstrip("/")
    parts = trimmed.split("/")
    if not path.startswith("/") or any(part in ("", ".", "..") for part in parts[1:]):
        raise BadInput(f"{path!r} cannot be kept: it is not plain and absolute", hint=hint)
    if any(ord(c) < 32 or ord(c) == 127 for c in path) or len(path.encode(errors="surrogateescape")) > MAX_LENGTH:
        raise BadInput(f"{path!r} cannot be kept: it has control characters or is too long", hint=hint)
    if not trimmed.startswith(VAR + "/"):
        raise BadInput(f"{path!r} cannot be kept: a reset is of {VAR}, and the rest is made anew anyway", hint=hint)
    if trimmed == REQUEST:
        raise BadInput(f"{path!r} cannot be kept: it is the request for the reset", hint=hint)
    return trimmed


class Outcome(StrEnum):
    DONE = "done"
    INCOMPLETE = "incomplete"  # something could not be removed
    REFUSED = "refused"  # nothing was changed
    FAILED = "failed"  # it could not go on; the next boot begins again


@dataclass(frozen=True)
class Result:
    """What a reset did. `kept`: asked for and there; `missing`: asked for and not there; `left`: path and why."""

    outcome: Outcome
    kept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    removed: int = 0
    left: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    def text(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str | bytes) -> Result:
        """The inverse of `text`. Raises BadInput."""
        try:
            about = json.loads(text)
            if about.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            return cls(
                Outcome(about["outcome"]),
                tuple(map(str, about["kept"])),
                tuple(map(str, about["missing"])),
                int(about["removed"]),
                {str(path): str(why) for path, why in about["left"].items()},
                str(about["reason"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise BadInput(
                f"{RESULT} cannot be read: {e}", hint="journalctl -b -u orlop-reset says what was done"
            ) from None

    def line(self) -> str:
        """For the console and the journal."""
        if self.outcome is Outcome.REFUSED:
            return f"factory reset refused, nothing was changed: {self.reason}"
        if self.outcome is Outcome.FAILED:
            return f"factory reset failed, the next boot begins again: {self.reason}"
        kept = ", ".join(self.kept) or "nothing"
        gone = f"; not there to keep: {', '.join(self.missing)}" if self.missing else ""
        left = (
            f"; could not be removed: {', '.join(f'{p} ({why})' for p, why in self.left.items())}" if self.left else ""
        )
        return f"factory reset {self.outcome}: {self.removed} files and folders removed, kept {kept}{gone}{left}"
