"""`orlop release channel`: channels that come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orlop.cli.release.home import DEFAULT, DryRun, Home, HomeOption, KeysOption, now
from orlop.cli.release.rotation import begun_draft, keep, new_keys, retire
from orlop.cli.session import steps
from orlop.errors import BadInput
from orlop.publish.channels import channels

channel_app = typer.Typer(help="Add a channel, remove one.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the channel.")]


@channel_app.command("add")
def add(
    ctx: typer.Context,
    name: NameArgument,
    key: Annotated[Path | None, typer.Option("--key", help="Its key, from a file; made here unless given.")] = None,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Add a channel, with no version yet. The targets key signs that it exists."""
    where, log = Home(home, keys_from or ()), steps(ctx)
    with where.changing() as repository:
        state = repository.load()
        channels.check_new(state, name)
        log.note("what machines will do:")
        log.note(f"  machines that are set to channel {name}: find it, and stay: it has no version yet")
        log.note("  all others: nothing else than before")
        if dry_run:
            return
        ((new_key,),) = new_keys(repository, [[name]], [key] if key else None)
        with log.step(f"Adding channel {name}"):
            files, _ = repository.prepare(state, channels.added(state, name, new_key, now()), now())
            keep(where.keys, [new_key])
            repository.write(files.items())
    typer.echo(f"{name} is a channel, signed by {new_key.keyid}")


@channel_app.command("remove")
def remove(
    ctx: typer.Context,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Even when machines may follow it.")] = False,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Remove a channel. Machines that follow it are updated no more, until they are set to another one."""
    where, log = Home(home, keys_from or ()), steps(ctx)
    with where.changing() as repository:
        begun = begun_draft(where)
        state = repository.load()
        without, change = channels.removed(state, name)
        log.note("what machines will do:")
        log.note(f"  machines on channel {name}: stay on what they run and report that the repository has no such")
        log.note("    channel, until they are set to another one")
        log.note("  all others: nothing else than before")
        if dry_run:
            return
        if (count := len(state.document(name).entries)) and not yes:
            raise BadInput(
                f"channel {name} has {count} version{'s' if count > 1 else ''}, and machines may follow it",
                hint="set them to another channel first; --yes removes it all the same",
            )
        with log.step(f"Removing channel {name}"):
            retire(where, repository.commit(without, change, now()), begun)
    typer.echo(f"channel {name} is removed; orlop release gc removes what it alone led to")
