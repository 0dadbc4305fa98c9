"""`orlop sdk`: make the tree of build tools, say what it is, run one of its programs."""

from __future__ import annotations

import json
import subprocess
from typing import Annotated

import typer

from orlop.cli.session import steps, workspace
from orlop.sdk import tree
from orlop.sdk.run import in_sdk

app = typer.Typer(help="The tree of build tools in .orlop/sdk.", no_args_is_help=True)


@app.command()
def make(ctx: typer.Context) -> None:
    """Make the SDK tree, if it is missing or its package list changed."""
    ws = workspace()
    was_current = tree.is_current(ws.sdk)
    path = tree.ensure(ws, steps(ctx))
    print(f"{path}: " + ("is current" if was_current else "made"))


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Say where the SDK is, whether it is whole and made from today's package list. Exit status 1 when not."""
    ws = workspace()
    current = tree.is_current(ws.sdk)
    state = "current" if current else "stale" if ws.sdk.exists() else "missing"
    if as_json:
        print(json.dumps({"path": str(ws.sdk), "state": state, "key": tree.wanted_key()}))
    else:
        print(f"{ws.sdk}: {state}" + ("" if current else "; `orlop sdk make` makes it"))
    raise typer.Exit(0 if current else 1)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    ctx: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after `--`.")],
) -> None:
    """Run a program of the SDK in the current folder, making the SDK first if need be. Its exit status is passed on."""
    ws = workspace()
    tree.ensure(ws, steps(ctx))
    code = subprocess.run(in_sdk(ws, command), check=False).returncode
    raise typer.Exit(code if code >= 0 else 128 - code)
