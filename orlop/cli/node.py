"""`orlop node`: one machine of a lab, by what its own `orlop` command does and says."""

from __future__ import annotations

from typing import Annotated

import typer

from orlop.cli.lab import AsJson, Name, NodeName, Timeout, open_lab
from orlop.cli.session import report, steps
from orlop.errors import CommandFailed, OrlopError
from orlop.lab import ssh
from orlop.lab.machine import Node
from orlop.lab.wait import reboot
from orlop.model.drift import Difference
from orlop.model.drifttext import differences_text, lines, parse_differences
from orlop.model.reset import RESULT, Request, Result

app = typer.Typer(help="One machine: what it has beyond its configuration; starting over.", no_args_is_help=True)

COMMAND = "/usr/bin/orlop"
COULD_NOT = 2


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
    return parse_differences(_ask(machine, "diff", "--json", good=(0, 1)), f"what {machine.name} says of itself")


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
        _ask(machine, "reset", "--yes", "--no-reboot", *words, good=(0,))
        reboot(machine, steps(ctx), timeout=timeout)
        ssh.forget(machine.paths, node)  # it may have a new host key
        if not erase:
            steps(ctx).note(Result.parse(machine.sh(f"cat {RESULT}")).line())


def _ask(machine: Node, *words: str, good: tuple[int, ...]) -> str:
    """What the machine's own command prints. Raises CommandFailed with what it says of its failure."""
    ran = machine.run(COMMAND, *words)
    if ran.code in good:
        return ran.out
    told = dict(line.split(": ", 1) for line in ran.err.splitlines() if line.startswith(("error: ", "hint: ")))
    raise CommandFailed(
        told.get("error", f"orlop {words[0]} on {machine.name} ended with {ran.code}"),
        code=ran.code,
        tail="" if "error" in told else (ran.out + ran.err)[-2000:].strip(),
        hint=told.get("hint", f"`orlop lab logs {machine.name}` shows what the machine is doing"),
    )
