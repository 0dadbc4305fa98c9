"""Tools that are where they are: a program is started as it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orlop.machines.tools import Tools


def _plain(
    argv: Sequence[str | Path],
    *,
    binds: Sequence[Path] = (),  # noqa: ARG001 — as every way to run a program
    env: Mapping[str, str] | None = None,
    die_with_parent: bool = True,  # noqa: ARG001
) -> list[str]:
    return ["env", *(f"{name}={value}" for name, value in (env or {}).items()), *map(str, argv)]


TOOLS = Tools(Path("/"), _plain)
