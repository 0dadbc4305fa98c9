"""What every command starts from: where the workspace is, the one `Steps` of this process, and how an error is said.

Lifetime: the root command makes the `Steps` before any sub-command runs; commands ask for it here, so that none of
them needs to import the root.
"""

from __future__ import annotations

import sys

import typer

from orlop.errors import CommandFailed, OrlopError
from orlop.steps import Steps
from orlop.workspace import Workspace


def steps(ctx: typer.Context) -> Steps:
    """The progress log of this process."""
    return ctx.ensure_object(Steps)


def workspace() -> Workspace:
    """The repository this command runs from. Raises Missing outside of one."""
    return Workspace.find()


def report(error: OrlopError) -> None:
    """Say an error a user can act on, on stderr: the end of a failed program's output, `error:`, `hint:`."""
    if isinstance(error, CommandFailed) and error.tail:
        print(error.tail, file=sys.stderr)
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
