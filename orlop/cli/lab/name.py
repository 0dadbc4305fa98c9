"""Which lab the commands of `orlop lab` mean."""

from __future__ import annotations

from typing import Annotated

import typer

from orlop.cli.session import workspace
from orlop.errors import Missing
from orlop.lab import lab
from orlop.lab.lab import Lab
from orlop.lab.paths import DEFAULT_LAB
from orlop.workspace import Workspace

Name = Annotated[str | None, typer.Option("--name", help="Which lab; default: the only one, else 'default'.")]


def named(ws: Workspace, given: str | None) -> str:
    if given is not None:
        return given
    there = lab.names(ws)
    return there[0] if len(there) == 1 else DEFAULT_LAB


def open_lab(name: str | None) -> Lab:
    """The lab that --name means. Raises Missing or BadInput."""
    ws = workspace()
    return lab.open_lab(ws, named(ws, name))


def to_remove(ws: Workspace, given: str | None, *, every: bool) -> list[str]:
    """The labs that are meant to go. Without a name that is `default` alone: the only one there is may be another's."""
    there = lab.names(ws)
    if every:
        return there
    if given is None and there and DEFAULT_LAB not in there:
        raise Missing(
            f"there is no lab {DEFAULT_LAB!r}, and no other goes without being named",
            hint=f"name one with --name, or all with --all; there are: {', '.join(there)}",
        )
    return [given or DEFAULT_LAB]
