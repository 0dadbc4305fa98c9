"""`orlop machine`: who is in a cluster, and what people decide about it.

Any server is asked, over the same ways as `orlop node`: there root has the cluster's keys, and its own `orlop machine`
speaks to the control API. What it says is shown as it is.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orlop.cli.lab.command import AsJson
from orlop.cli.lab.name import Name
from orlop.cli.node.reach import Key, reach
from orlop.model.cluster.lock import MOST_SLOTS

app = typer.Typer(help="The machines of a cluster.", no_args_is_help=True)

Server = Annotated[
    str,
    typer.Argument(metavar="SERVER", help="A server of it: a node of a lab (n1), [USER@]HOST[:PORT], or an SSH alias."),
]
Member = Annotated[str, typer.Argument(metavar="MACHINE", help="Its host's name, or 8 or more digits of its name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for those who ask later.")]


@app.command("list")
def listed(server: Server, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """All machines, with what they last reported of themselves."""
    _ask(server, name, key, "list", *(["--json"] if as_json else []))


@app.command()
def show(server: Server, machine: Member, name: Name = None, key: Key = None) -> None:
    """One machine, as JSON."""
    _ask(server, name, key, "show", machine)


@app.command()
def cordon(server: Server, machine: Member, reason: Reason, name: Name = None, key: Key = None) -> None:
    """Give a machine no new work."""
    _ask(server, name, key, "cordon", machine, "--reason", reason)


@app.command()
def drain(server: Server, machine: Member, reason: Reason, name: Name = None, key: Key = None) -> None:
    """Let a machine's units go elsewhere, and give it no new ones; `uncordon` ends it."""
    _ask(server, name, key, "drain", machine, "--reason", reason)


@app.command()
def uncordon(server: Server, machine: Member, name: Name = None, key: Key = None) -> None:
    """Give a machine work again."""
    _ask(server, name, key, "uncordon", machine)


@app.command()
def expel(server: Server, machine: Member, reason: Reason, name: Name = None, key: Key = None) -> None:
    """Put a machine out: its certificate is refused from now on."""
    _ask(server, name, key, "expel", machine, "--reason", reason)


@app.command()
def locks(server: Server, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """Who holds the reboot lock, and how many machines of each group may reboot at once."""
    _ask(server, name, key, "locks", *(["--json"] if as_json else []))


@app.command()
def unlock(server: Server, machine: Member, reason: Reason, name: Name = None, key: Key = None) -> None:
    """Take the reboot lock from a machine that does not give it back."""
    _ask(server, name, key, "unlock", machine, "--reason", reason)


@app.command()
def slots(
    server: Server,
    group: Annotated[str, typer.Argument(metavar="GROUP", help="`servers`, `workers`, or one of your own.")],
    count: Annotated[int, typer.Argument(metavar="N", min=0, max=MOST_SLOTS, help="How many; 0 for none.")],
    reason: Reason,
    name: Name = None,
    key: Key = None,
) -> None:
    """How many machines of a group may reboot at once."""
    _ask(server, name, key, "slots", group, str(count), "--reason", reason)


def _ask(server: str, name: str | None, key: Key, *words: str) -> None:
    print(reach(server, name, key).ask("machine", *words), end="")
