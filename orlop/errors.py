"""The errors a caller can act on, drawn as a tree.

    OrlopError                 anything a user caused or can mend; carries a hint
    ├── BadInput               what was given is wrong: a name, a file, a value. Nothing was changed
    ├── Missing                something this needs is not there: a tool, an image, a lab
    ├── Busy                   somebody else holds it: a lock, a port, a running lab
    ├── NoSpace                the disk is full, or too small for what was asked
    ├── CommandFailed          a program we started ended badly; carries the end of its output
    └── TimedOut               it did not happen within the time it was given

Everything else is a defect and keeps its traceback. `die` lives in `orlop.cli`: a library never exits.
"""

from __future__ import annotations


class OrlopError(Exception):
    """`message` names what is wrong and where; `hint` says what to do next (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(OrlopError):
    pass


class Missing(OrlopError):
    pass


class Busy(OrlopError):
    pass


class NoSpace(OrlopError):
    pass


class CommandFailed(OrlopError):
    """`code` is the exit status (negative: ended by that signal), `tail` the last lines it printed."""

    def __init__(self, message: str, *, code: int, tail: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.tail = tail


class TimedOut(OrlopError):
    pass


class NotAllowed(OrlopError):
    pass
