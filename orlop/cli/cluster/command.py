"""`orlop cluster`: a cluster made, and how it is.

What a cluster says of itself comes from its servers: any of them answers, over the same ways as `orlop node`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from orlop.cli.cluster.saved import backup, restore
from orlop.cli.lab.command import AsJson
from orlop.cli.lab.name import Name
from orlop.cli.node.reach import COMMAND, Key, MachineName, reach
from orlop.cli.session import report
from orlop.cluster import folder as folders
from orlop.errors import OrlopError
from orlop.files import write_atomic
from orlop.model.cluster.certificates import TOKEN_LIFE
from orlop.model.cluster.names import FIRST_FILE, SERVER_FILE, WORKER_FILE, Role
from orlop.model.cluster.sizing import refusal
from orlop.model.cluster.status import lines, parse, text
from orlop.model.settings.cluster import REPLACE_AFTER
from orlop.model.words.strict import stamp

app = typer.Typer(help="A cluster of machines.", no_args_is_help=True)
app.command()(backup)
app.command()(restore)

COULD_NOT = 2
Folder = Annotated[
    Path | None, typer.Option("-o", "--folder", metavar="DIR", help="The cluster's folder; default: NAME.")
]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the cluster.")],
    servers: Annotated[int, typer.Option("--servers", help="Members of its store: 1, 3 or 5.")] = 3,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="HOST", help="Where servers are found; may be repeated. Default: a host NAME."),
    ] = None,
    replace_after: Annotated[
        str, typer.Option("--replace-after", help="How long a member may be silent before another takes its place.")
    ] = REPLACE_AFTER.default,
    folder: Folder = None,
) -> None:
    """Write a folder with a new cluster's keys and one Butane file for each kind of machine."""
    now = datetime.now(UTC)
    place = folder or Path(name)
    cluster = folders.found(name, at or [name], servers, now, replace_after=replace_after)
    folders.write(place, cluster, now)
    until = stamp(now + folders.FORM_LIFE)
    print(f"{place} is the folder of cluster {name}; keep it: it holds the cluster's keys, and nobody else can read it")
    print(f"  {FIRST_FILE:<16} for the first server, which makes the store; until {until}")
    if servers > 1:
        print(f"  {SERVER_FILE:<16} for the other {servers - 1} servers, and later ones")
    print(f"  {WORKER_FILE:<16} for workers, which hold no key; its token ends at {stamp(now + TOKEN_LIFE)}")
    print(f"servers are looked for at {', '.join(cluster.servers)}")


@app.command()
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The cluster.")],
    hours: Annotated[int, typer.Option("--hours", help="How long it lets machines in.", min=1, max=8760)] = 24,
    folder: Folder = None,
) -> None:
    """Write a new file for workers, with a new token, into the cluster's folder."""
    place = folder or Path(name)
    cluster = folders.read(place)
    made = cluster.token(Role.WORKER, datetime.now(UTC) + timedelta(hours=hours))
    write_atomic(place / WORKER_FILE, cluster.worker(made), mode=0o600)
    print(f"{place / WORKER_FILE} has token {made.id}, which ends at {stamp(made.ends)}")


@app.command()
def status(node: MachineName, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """How a cluster is, as one of its servers sees it.

    Exit status: 0 it is well; 1 it is not; 2 it could not be told.
    """
    try:
        found = parse(reach(node, name, key).ask("cluster", "--json", good=(0, 1)).encode())
    except OrlopError as e:
        report(e)
        raise typer.Exit(COULD_NOT) from None
    print(text(found), end="") if as_json else print("\n".join(lines(found, datetime.now(UTC))))
    raise typer.Exit(0 if found.is_well else 1)


@app.command()
def size(
    node: MachineName,
    servers: Annotated[int, typer.Argument(metavar="N", help="How many members its store is to have: 1, 3 or 5.")],
    name: Name = None,
    key: Key = None,
) -> None:
    """Change how many members a cluster's store has: they come and go one at a time, and it goes on meanwhile."""
    if wrong := refusal(servers):
        raise wrong
    print(reach(node, name, key).ask("cluster", "size", str(servers)), end="")


@app.command()
def doctor(node: MachineName, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """Check everything about a cluster's store, and say what to do about what is not sound.

    Exit status: 0 all is sound; 1 something is not; 2 it could not be told.
    """
    words = ["cluster", "doctor", *(["--json"] if as_json else [])]
    machine = reach(node, name, key)
    try:
        ran = machine.run(COMMAND, *words)
        said = machine.judged(ran, words, good=(0, 1))
    except OrlopError as e:
        report(e)
        raise typer.Exit(COULD_NOT) from None
    print(said, end="")
    raise typer.Exit(ran.code)
