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
from orlop.model.words.strict import Fields, Wrong, parse_json

VAR = "/var"
REQUEST = "/var/lib/orlop/reset.json"
RESULT = "/run/orlop/reset.json"
SCHEMA = 1
MAX_BYTES = 16 << 20  # of a record: a result names every file that could not be removed
MAX_KEPT = 64
MAX_LENGTH = 1024  # of a path, in bytes


@dataclass(frozen=True)
class ResetRequest:
    """`keep`: plain absolute paths below /var, sorted, none inside another."""

    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[str]) -> ResetRequest:
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
    def parse(cls, text: str | bytes) -> ResetRequest:
        """The inverse of `text`. Raises BadInput."""
        try:
            about = _record(text)
            keep = about.texts("keep", must=True)
        except Wrong as e:
            raise BadInput(f"{REQUEST} is not a request for a reset: {e.message}", hint="orlop node reset") from None
        return cls.of(keep)

    def stays(self, path: str) -> Stays:
        """What becomes of `path`, which is below /var."""
        if path in self.keep:
            return Stays.WHOLE
        leads = any(kept.startswith(path + "/") for kept in (*self.keep, REQUEST))
        return Stays.AS_FOLDER if leads or path == VAR else Stays.WHOLE if path == REQUEST else Stays.NOT


def _record(text: str | bytes) -> Fields:
    """Raises Wrong for what is no record of this version."""
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    record = Fields.of("", parse_json(raw, MAX_BYTES))
    if (schema := record.value("schema", int)) != SCHEMA:
        raise Wrong(f"its schema is {schema}, this version of the system reads {SCHEMA}")
    return record


class Stays(StrEnum):
    WHOLE = "whole"
    AS_FOLDER = "as a folder"
    NOT = "not"


def _checked(path: str) -> str:
    hint = f"give a plain absolute path below {VAR}, for example --keep {VAR}/lib/containers"
    try:
        length = len(path.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        raise BadInput(f"{path!r} cannot be kept: no file can have that name", hint=hint) from None
    trimmed = path.rstrip("/")
    parts = trimmed.split("/")
    if not path.startswith("/") or any(part in ("", ".", "..") for part in parts[1:]):
        raise BadInput(f"{path!r} cannot be kept: it is not plain and absolute", hint=hint)
    if any(ord(c) < 32 or ord(c) == 127 for c in path) or length > MAX_LENGTH:
        raise BadInput(f"{path!r} cannot be kept: it has control characters or is too long", hint=hint)
    if not trimmed.startswith(VAR + "/"):
        raise BadInput(f"{path!r} cannot be kept: a reset is of {VAR}, and the rest is made anew anyway", hint=hint)
    if trimmed == REQUEST:
        raise BadInput(f"{path!r} cannot be kept: it is the request for the reset", hint=hint)
    return trimmed


class ResetOutcome(StrEnum):
    DONE = "done"
    INCOMPLETE = "incomplete"  # something could not be removed
    REFUSED = "refused"  # nothing was changed
    FAILED = "failed"  # it could not go on; the next boot begins again


@dataclass(frozen=True)
class ResetResult:
    """What a reset did. `kept`: asked for and there; `missing`: asked for and not there; `left`: path and why."""

    outcome: ResetOutcome
    kept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    removed: int = 0
    left: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    def text(self) -> str:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str | bytes) -> ResetResult:
        """The inverse of `text`. Raises BadInput."""
        try:
            about = _record(text)
            left = about.fields("left")
            return cls(
                ResetOutcome(about.choice("outcome", *ResetOutcome)),
                tuple(about.texts("kept", must=True)),
                tuple(about.texts("missing", must=True)),
                about.value("removed", int),
                {path: left.value(path, str) for path in left.values},
                about.value("reason", str),
            )
        except Wrong as e:
            raise BadInput(
                f"{RESULT} cannot be read: {e.message}", hint="journalctl -b -u orlop-reset says what was done"
            ) from None

    def line(self) -> str:
        """For the console and the journal."""
        if self.outcome is ResetOutcome.REFUSED:
            return f"factory reset refused, nothing was changed: {self.reason}"
        if self.outcome is ResetOutcome.FAILED:
            return f"factory reset failed, the next boot begins again: {self.reason}"
        paths = ", ".join(self.kept) or "nothing"
        gone = f"; not there to keep: {', '.join(self.missing)}" if self.missing else ""
        left = (
            f"; could not be removed: {', '.join(f'{p} ({why})' for p, why in self.left.items())}" if self.left else ""
        )
        return f"factory reset {self.outcome}: {self.removed} files and folders removed, kept {paths}{gone}{left}"
