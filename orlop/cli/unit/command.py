"""`orlop unit`: services on many machines, with fleetctl's verbs.

Any server is asked, over the same ways as `orlop node`; its own `orlop unit` speaks to the control API, and what that
says is shown as it is. Files are this computer's: they are given along.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from orlop.cli.lab.command import AsJson
from orlop.cli.lab.name import Name
from orlop.cli.machine.command import Server
from orlop.cli.node.reach import COMMAND, Key, Reached, reach
from orlop.errors import CommandFailed, Missing
from orlop.model.fleet import quadlet
from orlop.model.fleet.name import mangled, split
from orlop.model.fleet.unitfile import LARGEST
from orlop.node.cluster.verbs.unit import FILE_FIELDS, LISTS, MACHINE_FIELDS, UNIT_FIELDS, read

app = typer.Typer(help="Services on the machines of a cluster.", no_args_is_help=True)

Units = Annotated[
    list[str], typer.Argument(metavar="UNIT...", help="Names, or files. A name without a type is a .service.")
]
Unit = Annotated[str, typer.Argument(metavar="UNIT", help="Its name. Without a type it is a .service.")]
Replace = Annotated[bool, typer.Option("--replace", help="What is there under that name becomes this.")]
Lenient = Annotated[bool, typer.Option("--lenient", help="Ignore in [X-Fleet] what fleet ignored.")]
NoBlock = Annotated[bool, typer.Option("--no-block", help="Do not wait until it is so.")]
Attempts = Annotated[int, typer.Option("--block-attempts", metavar="N", min=0, help="Wait N times 2 s at most.")]
NoLegend = Annotated[bool, typer.Option("--no-legend", help="No line of titles.")]
Lines = Annotated[int, typer.Option("--lines", min=1, max=100_000, help="How many of the last lines.")]


@app.command()
def submit(
    server: Server, units: Units, name: Name = None, key: Key = None, replace: Replace = False, lenient: Lenient = False
) -> None:
    """Put units into the cluster."""
    _change(reach(server, name, key), "submit", units, [*_when("--replace", replace), *_when("--lenient", lenient)])


@app.command()
def load(
    server: Server, units: Units, name: Name = None, key: Key = None, replace: Replace = False,
    lenient: Lenient = False, no_block: NoBlock = False, block_attempts: Attempts = 0,
) -> None:  # fmt: skip
    """Place units on machines, not started."""
    options = [*_when("--replace", replace), *_when("--lenient", lenient), *_waits(no_block, block_attempts)]
    _change(reach(server, name, key), "load", units, options)


@app.command()
def start(
    server: Server, units: Units, name: Name = None, key: Key = None, replace: Replace = False,
    lenient: Lenient = False, no_block: NoBlock = False, block_attempts: Attempts = 0,
) -> None:  # fmt: skip
    """Place units on machines, and start them."""
    options = [*_when("--replace", replace), *_when("--lenient", lenient), *_waits(no_block, block_attempts)]
    _change(reach(server, name, key), "start", units, options)


@app.command()
def stop(
    server: Server, units: Units, name: Name = None, key: Key = None,
    no_block: NoBlock = False, block_attempts: Attempts = 0,
) -> None:  # fmt: skip
    """Stop units where they are."""
    _show(reach(server, name, key), "stop", *_waits(no_block, block_attempts), "--", *units)


@app.command()
def unload(
    server: Server, units: Units, name: Name = None, key: Key = None,
    no_block: NoBlock = False, block_attempts: Attempts = 0,
) -> None:  # fmt: skip
    """Take units from their machines."""
    _show(reach(server, name, key), "unload", *_waits(no_block, block_attempts), "--", *units)


@app.command()
def restart(
    server: Server, units: Units, name: Name = None, key: Key = None,
    no_block: NoBlock = False, block_attempts: Attempts = 0,
) -> None:  # fmt: skip
    """Start units again where they run."""
    _show(reach(server, name, key), "restart", *_waits(no_block, block_attempts), "--", *units)


@app.command()
def destroy(server: Server, units: Units, name: Name = None, key: Key = None) -> None:
    """Stop units, and forget them."""
    _show(reach(server, name, key), "destroy", "--", *units)


@app.command("list-units")
def list_units(
    server: Server, name: Name = None, key: Key = None, as_json: AsJson = False, no_legend: NoLegend = False,
    fields: Annotated[str, typer.Option(help=f"Of {','.join(UNIT_FIELDS)}.")] = LISTS["list-units"][1],
) -> None:  # fmt: skip
    """What is placed where, and how it is."""
    _list(reach(server, name, key), "list-units", fields, as_json=as_json, no_legend=no_legend)


@app.command("list-unit-files")
def list_unit_files(
    server: Server, name: Name = None, key: Key = None, as_json: AsJson = False, no_legend: NoLegend = False,
    fields: Annotated[str, typer.Option(help=f"Of {','.join(FILE_FIELDS)}.")] = LISTS["list-unit-files"][1],
) -> None:  # fmt: skip
    """All units, what they are to be and what they are."""
    _list(reach(server, name, key), "list-unit-files", fields, as_json=as_json, no_legend=no_legend)


@app.command("list-machines")
def list_machines(
    server: Server, name: Name = None, key: Key = None, as_json: AsJson = False, no_legend: NoLegend = False,
    fields: Annotated[str, typer.Option(help=f"Of {','.join(MACHINE_FIELDS)}.")] = LISTS["list-machines"][1],
) -> None:  # fmt: skip
    """All machines as units see them: what they offer, and what is used of it."""
    _list(reach(server, name, key), "list-machines", fields, as_json=as_json, no_legend=no_legend)


@app.command()
def status(server: Server, unit: Unit, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """How a unit is, on each of its machines."""
    _show(reach(server, name, key), "status", *_when("--json", as_json), "--", unit, good=(0, 1))


@app.command()
def explain(server: Server, unit: Unit, name: Name = None, key: Key = None, as_json: AsJson = False) -> None:
    """Why a unit is where it is, or nowhere: what every machine says to it."""
    _show(reach(server, name, key), "explain", *_when("--json", as_json), "--", unit, good=(0, 1))


@app.command()
def cat(server: Server, unit: Unit, name: Name = None, key: Key = None) -> None:
    """The text of a unit."""
    _show(reach(server, name, key), "cat", "--", unit)


@app.command()
def journal(server: Server, unit: Unit, name: Name = None, key: Key = None, lines: Lines = 10) -> None:
    """The last lines that a unit wrote, on each of its machines."""
    asked = reach(server, name, key)
    placed = json.loads(asked.ask("unit", "status", "--json", "--", unit, good=(0, 1)))["placed"]
    if not placed:
        raise Missing(f"{mangled(unit)} is on no machine", hint=f"orlop unit explain {server} {unit} says why")
    for at in placed:
        there = asked if at["host"] == asked.name else reach(_beside(server, at["host"]), name, key)
        service = quadlet.service(at["instance"])
        ran = there.run("journalctl", "--unit", service, "--lines", str(lines), "--no-pager", "--output=short-iso")
        if ran.code:
            raise CommandFailed(f"the journal of {at['host']} cannot be read", code=ran.code, tail=ran.err)
        if len(placed) > 1:
            print(f"{at['instance']} on {at['host']}:")
        print(ran.out, end="")


def _beside(server: str, host: str) -> str:
    """Another machine by the same way: as the same user, on the same port."""
    user, at, rest = server.rpartition("@")
    _, colon, port = rest.partition(":")
    return f"{user}{at}{host}{colon}{port}"


def _change(asked: Reached, deed: str, units: Sequence[str], options: Sequence[str]) -> None:
    given = [word for name, text in _files(units) for word in ("--given", name, _packed(text))]
    # the file's own name is of no use there
    _show(asked, deed, *options, *given, "--", *(mangled(unit) for unit in units))


def _files(units: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The files that are here for them, and for the templates that they may be made of."""
    seen: set[str] = set()
    for unit in units:
        name = mangled(unit)
        template = split(name).template
        for each, path in ((name, Path(unit)), (name, Path(name)), (template, Path(unit).with_name(template or "."))):
            if each and each not in seen and path.is_file():
                seen.add(each)
                yield each, read(path)


def _packed(text: str) -> str:
    assert len(text) <= LARGEST
    return base64.b64encode(text.encode()).decode()


def _list(asked: Reached, deed: str, fields: str, *, as_json: bool, no_legend: bool) -> None:
    _show(asked, deed, "--fields", fields, *_when("--json", as_json), *_when("--no-legend", no_legend))


def _show(asked: Reached, *words: str, good: tuple[int, ...] = (0,)) -> None:
    """What it says as it says it; its exit status is ours when it is one that says something."""
    ran: Any = asked.run(COMMAND, "unit", *words)
    if ran.code in (0, 1):
        print(ran.out, end="")
        print(ran.err, end="", file=sys.stderr)
        if ran.code:
            raise typer.Exit(ran.code)
        return
    asked.ask("unit", *words, good=good)


def _when(option: str, is_so: bool) -> list[str]:
    return [option] if is_so else []


def _waits(no_block: bool, attempts: int) -> list[str]:
    return [*_when("--no-block", no_block), *(["--block-attempts", str(attempts)] if attempts else [])]
