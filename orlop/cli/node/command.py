"""`orlop node`: one machine, by what its own `orlop` command does and says."""

from __future__ import annotations

from typing import Annotated

import typer

from orlop.cli.lab.command import AsJson, Timeout
from orlop.cli.lab.name import Name
from orlop.cli.node import updates as node_updates
from orlop.cli.node.reach import Key, MachineName, Reached, reach
from orlop.cli.session import report, steps
from orlop.errors import OrlopError
from orlop.model.drift.difference import Difference
from orlop.model.drift.text import differences_text, lines, parse_differences
from orlop.model.reset.request import RESULT, ResetRequest, ResetResult
from orlop.model.selinux import denial

app = typer.Typer(
    help="One machine: its updates, what it has beyond its configuration, what it refused, starting over.",
    no_args_is_help=True,
)

COULD_NOT = 2
node_updates.add_to(app)


@app.command()
def diff(node: MachineName, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """What a machine has beyond its image and its configuration.

    Exit status: 0 no difference; 1 there are some; 2 it could not be told.
    """
    try:
        differences = _differences(reach(node, name, key))
    except OrlopError as e:
        report(e)
        raise typer.Exit(COULD_NOT) from None
    if as_json:
        print(differences_text(differences))
    else:
        print("\n".join(lines(differences)) or f"no difference: {node} is its image and its configuration")
    raise typer.Exit(1 if differences else 0)


def _differences(machine: Reached) -> list[Difference]:
    return parse_differences(machine.ask("diff", "--json", good=(0, 1)), f"what {machine.name} says of itself")


@app.command()
def reboot(
    ctx: typer.Context,
    node: MachineName,
    wait: Annotated[int, typer.Option("--wait", metavar="SECONDS", min=0, help="For the reboot lock.")] = 0,
    no_lock: Annotated[bool, typer.Option("--no-lock", help="Do not ask its cluster.")] = False,
    name: Name = None,
    key: Key = None,
    timeout: Timeout = 600,
) -> None:
    """Reboot a machine; one of a cluster only when the cluster can do without it."""
    machine = reach(node, name, key)
    since = machine.moment()
    with steps(ctx).step(f"Rebooting {node}"):
        if not no_lock:
            machine.ask("reboot", "--lock-only", "--wait", str(wait))
        machine.run("systemctl", "reboot")  # its exit status tells nothing: the connection ends with the system
        machine.wait_verdict(since, steps(ctx), timeout)


@app.command()
def denials(node: MachineName, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """What SELinux has refused on a machine since it started: each in a sentence, with what would allow it.

    Exit status: 0 nothing was refused; 1 something was; 2 it could not be told.
    """
    try:
        machine = reach(node, name, key)
        refused = denial.parse_document(
            machine.ask("denials", "--json", good=(0, 1)), f"what {machine.name} says of SELinux"
        )
    except OrlopError as e:
        report(e)
        raise typer.Exit(COULD_NOT) from None
    if as_json:
        print(denial.as_document(refused))
    else:
        print("\n".join(denial.lines(refused)) or f"SELinux has refused nothing on {node} since it started")
    raise typer.Exit(1 if refused else 0)


@app.command()
def reset(
    ctx: typer.Context,
    node: MachineName,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="PATH", help="A path below /var that stays; may be repeated.")
    ] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="Make the partition of /var anew, also when it is damaged; nothing stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    name: Name = None,
    key: Key = None,
    timeout: Timeout = 600,
) -> None:
    """Start a machine over: /var is emptied, but for what is kept, and the configuration is applied again."""
    machine = reach(node, name, key)
    request = ResetRequest.of(keep or ())
    if not yes:
        paths = ", ".join(request.keep) or "nothing"
        typer.confirm(f"This removes everything in /var of {node}; kept is: {paths}. Go on?", abort=True)
    words = [*(word for path in request.keep for word in ("--keep", path)), *(["--erase"] if erase else [])]
    since = machine.moment()
    with steps(ctx).step(f"Resetting {node}"):
        machine.ask("reboot", "--lock-only")
        machine.ask("reset", "--yes", "--no-reboot", *words)
        machine.run("systemctl", "reboot")  # its exit status tells nothing: the connection ends with the system
        machine.forget_host_key()
        machine.wait_verdict(since, steps(ctx), timeout)
        machine.forget_host_key()  # somebody may have met the old one again before the machine went down
        if not erase:
            steps(ctx).note(ResetResult.parse(machine.run("cat", RESULT).out).line())
