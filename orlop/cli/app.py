"""The `orlop` command: loads each sub-command when it is asked for, and is the only place that ends the process.

Invariant: an error a user can act on is two lines, `error:` and `hint:`, and exit status 1; Ctrl-C is exit status 130
(SIGTERM 143) after everything that was begun has been undone; any other exception is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from orlop.cli import failures, streams
from orlop.cli.examples import illustrated
from orlop.cli.labels import labelled
from orlop.steps import Steps

# command: (module, name in it). A Typer app is mounted as a group, a function as a command.
COMMANDS = {
    "up": ("orlop.cli.up", "up"),
    "down": ("orlop.cli.up", "down"),
    "lab": ("orlop.cli.lab.command", "app"),
    "image": ("orlop.cli.image.command", "app"),
    "node": ("orlop.cli.node.command", "app"),
    "config": ("orlop.cli.config.command", "app"),
    "cluster": ("orlop.cli.cluster.command", "app"),
    "machine": ("orlop.cli.machine.command", "app"),
    "unit": ("orlop.cli.unit.command", "app"),
    "release": ("orlop.cli.release.command", "app"),
    "sdk": ("orlop.cli.sdk", "app"),
}


class Root(TyperGroup):
    """Typer's group, whose sub-commands are loaded when named, and that turns errors into words."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        labelled(self)

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (own := super().get_command(ctx, cmd_name)) is not None or cmd_name not in COMMANDS:
            return own
        return _load(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-") and not ctx.resilient_parsing:
            groups = {name: _load(name) for name in COMMANDS}
            verbs = [f"{name} {verb}" for name, group in groups.items() for verb in getattr(group, "commands", ())]
            like = difflib.get_close_matches(args[0], groups)
            like = like or [
                each for each in verbs if difflib.get_close_matches(args[0], [each.split()[1]], cutoff=0.75)
            ]
            meant = f" Did you mean {', '.join(map(repr, like[:3]))}?" if like else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with failures.said():
            return super().invoke(ctx)


@functools.cache  # Typer reads the signature of every command below it, and asks more than once
def _load(name: str) -> Any:
    """The sub-command of that name, as click has it."""
    module, attribute = COMMANDS[name]
    command = getattr(importlib.import_module(module), attribute)
    if isinstance(command, typer.Typer):
        group = typer.main.get_command(command)
        group.name = name
        return illustrated(labelled(group), name)
    single = typer.Typer(add_completion=False)
    single.command(name)(command)
    return illustrated(labelled(typer.main.get_command(single)), name)


app = typer.Typer(
    name="orlop",
    cls=Root,
    help="An operating system made only to run containers: build it, try it, run it.",
    no_args_is_help=True,
    add_completion=False,  # `make setup` installs one that starts no Python: orlop.cli.completion
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # slow to import, and asked for seldom

        print(f"orlop {version('orlop')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    ctx.obj = Steps()


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    """Turn a polite signal into an exception, so that every `with` and `finally` runs."""
    sys.exit(128 + number)


def main() -> None:
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    streams.prepare()
    try:
        with failures.said():
            try:
                app(prog_name="orlop")
            finally:
                streams.flush()
    except typer.Exit as e:
        sys.exit(e.exit_code)
