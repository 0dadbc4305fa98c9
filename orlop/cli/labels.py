"""How help names what an option takes: a word for a value, nothing for a switch. Typer names Python's types."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, get_args

_WORDS = {int: "N", float: "SECONDS", Path: "PATH"}


def labelled(command: Any) -> Any:
    """The command, or group and all below it, with the word for each option that names none itself."""
    for each in getattr(command, "commands", {}).values():
        labelled(each)
    for param in command.params:
        if param.param_type_name == "argument":
            param.display_type_rich = lambda ctx: ""  # noqa: ARG005 - its name says enough
        elif param.metavar is None:
            param.metavar = _word(param)
    made = command.get_help_option

    def get_help_option(ctx: Any) -> Any:
        if option := made(ctx):
            option.metavar = ""
        return option

    command.get_help_option = get_help_option
    return command


def _word(param: Any) -> str | None:
    """None leaves it to Typer, which lists the choices of an enumeration."""
    if param.is_flag:
        return ""
    kind = param.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return None
    return _WORDS.get(kind, str(param.opts[0]).lstrip("-").upper())
