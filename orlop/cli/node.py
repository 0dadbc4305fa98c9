"""`orlop node`: one machine of a lab, by what its own `orlop` command does and says."""

from __future__ import annotations

from typing import Annotated

import typer

from orlop.cli import node_updates
from orlop.cli.lab import AsJson, Name, NodeName, Timeout, open_lab
from orlop.cli.machine import ask
from orlop.cli.session import report, steps
from orlop.errors import OrlopError
from orlop.lab import ssh
from orlop.lab.machine import Node
from orlop.lab.wait import reboot
from orlop.model.drift import Difference
from orlop.model.drifttext import differences_text, lines, parse_differences
from orlop.model.reset import RESULT, Request, Result

app = typer.Typer(
    help="One machine: its updates, what it has beyond its configuration, starting over.", no_args_is_help=True
)

COULD_NOT = 2
node_updates.add_to(app)


@app.command()
def diff(node: NodeName, name: Name = None, as_json: AsJson = False) -> None:
    """What a machine has beyond its image and its configuration.

    Exit status: 0 no difference; 1 there are some; 2 it could not be told.
    """
    try:
        found = _differences(open_lab(name).node(node))
    except OrlopError as e:
        report(e)
        raise typer.Exit(COULD_NOT) from None
    if as_json:
        print(differences_text(found))
    else:
        print("\n".join(lines(found)) or f"no difference: {node} is its image and its configuration")
    raise typer.Exit(1 if found else 0)


def _differences(machine: Node) -> list[Difference]:
    return parse_differences(ask(machine, "diff", "--json", good=(0, 1)), f"what {machine.name} says of itself")


@app.command()
def reset(
    ctx: typer.Context,
    node: NodeName,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="PATH", help="A path below /var that stays; may be repeated.")
    ] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="Make the partition of /var anew, also when it is damaged; nothing stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    name: Name = None,
    timeout: Timeout = 600,
) -> None:
    """Start a machine over: /var is emptied, but for what is kept, and the configuration is applied again."""
    machine = open_lab(name).node(node)
    request = Request.of(keep or ())
    if not yes:
        kept = ", ".join(request.keep) or "nothing"
        typer.confirm(f"This removes everything in /var of {node}; kept is: {kept}. Go on?", abort=True)
    words = [*(word for path in request.keep for word in ("--keep", path)), *(["--erase"] if erase else [])]
    with steps(ctx).step(f"Resetting {node}"):
        ask(machine, "reset", "--yes", "--no-reboot", *words)
        reboot(machine, steps(ctx), timeout=timeout)
        ssh.forget(machine.paths, node)  # it may have a new host key
        if not erase:
            steps(ctx).note(Result.parse(machine.sh(f"cat {RESULT}")).line())
