"""The `orlop` command: loads each sub-command when it is asked for, and is the only place that ends the process.

Invariant: an error a user can act on is two lines, `error:` and `hint:`, and exit status 1; Ctrl-C is exit status 130
(SIGTERM 143) after everything that was begun has been undone; any other exception is a defect and keeps its traceback.
"""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from orlop.cli.session import report
from orlop.errors import NoSpace, OrlopError
from orlop.files import FULL, SPACE_HINT
from orlop.steps import Steps

# command: (module, name in it). A Typer app is mounted as a group, a function as a command.
COMMANDS = {
    "up": ("orlop.cli.up", "up"),
    "down": ("orlop.cli.up", "down"),
    "lab": ("orlop.cli.lab", "app"),
    "image": ("orlop.cli.image", "app"),
    "node": ("orlop.cli.node", "app"),
    "config": ("orlop.cli.config", "app"),
    "release": ("orlop.cli.release", "app"),
    "sdk": ("orlop.cli.sdk", "app"),
}


class Root(TyperGroup):
    """Typer's group, whose sub-commands are loaded when named, and that turns errors into words."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (own := super().get_command(ctx, cmd_name)) is not None or cmd_name not in COMMANDS:
            return own
        module, attribute = COMMANDS[cmd_name]
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = typer.main.get_command(found)
            group.name = cmd_name
            return group
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(found)
        return typer.main.get_command(single)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OrlopError as e:
            report(e)
            raise typer.Exit(1) from None
        except OSError as e:
            if e.errno not in FULL:
                raise
            report(NoSpace(f"no space left on the disk of {e.filename or 'what is written to'}", hint=SPACE_HINT))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("\ninterrupted; nothing half-made was left", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="orlop",
    cls=Root,
    help="An operating system made only to run containers: build it, try it, run it.",
    no_args_is_help=True,
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
    app()
