"""`orlop cluster backup` and `restore`: what a cluster knows, taken from a server into a file, and given to one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from orlop.cli.lab.name import Name
from orlop.cli.node.reach import Key, MachineName, Reached, reach
from orlop.cli.session import steps
from orlop.errors import BadInput, Busy
from orlop.files import replacing
from orlop.model.cluster.names import ID_KEY, NAME_KEY, SNAPSHOT_SUFFIX
from orlop.model.cluster.status import parse
from orlop.steps import Steps
from orlop.store.snapshot import contents

_NOTE_BYTES = 64 << 20  # between two words about how far it is
Output = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: CLUSTER-TIME.snapshot, here.")
]


def backup(
    ctx: typer.Context,
    node: MachineName,
    output: Output = None,
    from_disk: Annotated[
        bool, typer.Option("--from-disk", help="From a server whose member waits for others and does not answer.")
    ] = False,
    name: Name = None,
    key: Key = None,
) -> None:
    """Write all that a cluster knows into a file, from one of its servers."""
    if output:
        _must_be_new(output)
    machine = reach(node, name, key)
    place = output or Path(_default(machine))
    _must_be_new(place)
    words = ["cluster", "backup", *(["--from-disk"] if from_disk else [])]
    try:
        with steps(ctx).step(f"Taking a snapshot from {machine.name}"), replacing(place, mode=0o600) as f:
            machine.ask_with(*words, file=f, is_read=False, seen=_noted(steps(ctx)))
            origin, revision = _origin(f, f"what {machine.name} sent")
            size = os.fstat(f.fileno()).st_size
    except OSError as e:
        raise BadInput(f"{place} cannot be written: {e.strerror}", hint="-o takes another file") from None
    print(f"{place} has {origin} at revision {revision}: {size} bytes, and its hash is right")
    print("keep it where the servers' disks are not; who can read it knows all that the cluster knows")


def restore(
    ctx: typer.Context,
    node: MachineName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `orlop cluster backup` wrote, or a server kept.")],
    of: Annotated[
        str, typer.Option("--of", metavar="NAME", help="The snapshot is of another cluster, which has this name.")
    ] = "",
    name: Name = None,
    key: Key = None,
) -> None:
    """Begin a cluster anew from a snapshot, on a server without data; its other servers join that one."""
    try:
        with file.open("rb") as f:
            origin, revision = _origin(f, str(file))
            machine = reach(node, name, key)
            words = ["cluster", "restore", *(["--of", of] if of else [])]
            with steps(ctx).step(f"Giving {origin} at revision {revision} to {machine.name}"):
                f.seek(0)
                said = machine.ask_with(*words, file=f, is_read=True, seen=_noted(steps(ctx)))
    except OSError as e:
        raise BadInput(f"{file} cannot be read: {e.strerror}", hint="name a file of `orlop cluster backup`") from None
    print(said, end="")
    print(f"`orlop cluster status {node}` says when it is well")


def _must_be_new(place: Path) -> None:
    if place.exists() or place.is_symlink():
        raise Busy(f"{place} is there already", hint="-o takes another file; a backup is never written over")


def _default(machine: Reached) -> str:
    called = parse(machine.ask("cluster", "--json", good=(0, 1)).encode()).name
    return f"{called}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{SNAPSHOT_SUFFIX}"


def _origin(file: BinaryIO, called: str) -> tuple[str, int]:
    """Whose a snapshot is and its revision. Raises BadInput when it is damaged."""
    with contents.opened(file, called) as database:
        found = contents.read(database, (NAME_KEY, ID_KEY))
    cluster = found.values.get(NAME_KEY)
    return (f"cluster {cluster}" if cluster else "a store of no cluster"), found.revision


def _noted(log: Steps) -> Callable[[int], None]:
    noted = 0

    def seen(size: int) -> None:
        nonlocal noted
        if size - noted >= _NOTE_BYTES:
            noted = size
            log.note(f"{size / 1e6:.0f} MB")

    return seen
