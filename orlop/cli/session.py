"""What every command starts from: where the workspace is, and the one `Steps` of this process.

Lifetime: the root command makes the `Steps` before any sub-command runs; commands ask for it here, so that none of
them needs to import the root.
"""

from __future__ import annotations

import typer

from orlop.steps import Steps
from orlop.workspace import Workspace


def steps(ctx: typer.Context) -> Steps:
    """The progress log of this process."""
    return ctx.ensure_object(Steps)


def workspace() -> Workspace:
    """The repository this command runs from. Raises Missing outside of one."""
    return Workspace.find()
