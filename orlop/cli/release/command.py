"""`orlop release`: the signed repository that machines are updated from, and its channels.

Every command that changes something says what machines will do about it before it signs; with --dry-run it ends there.
What it changes, it changes in one step.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from orlop.built import BuiltImage, find
from orlop.cli.release import channels as release_channels
from orlop.cli.release import keys as release_keys
from orlop.cli.release import roots as release_roots
from orlop.cli.release import show as release_show
from orlop.cli.release.home import DEFAULT, DryRun, Home, HomeOption, KeysOption, now
from orlop.cli.session import steps, workspace
from orlop.errors import BadInput, Missing
from orlop.model.release.channel import MAX_NOTES, Channel
from orlop.model.release.rollout import PLANS, parse_waves
from orlop.model.words.version import Version
from orlop.publish.channels import edits
from orlop.publish.channels.preview import preview
from orlop.publish.content import publish, repair
from orlop.publish.content.publish import Publication
from orlop.publish.repository import gc
from orlop.publish.repository.repository import LIFETIMES, Change, Repository, RepositoryState, store_blob
from orlop.sdk.run import in_sdk
from orlop.sdk.tree import ensure
from orlop.steps import Steps

app = typer.Typer(help="The signed repository that machines are updated from.", no_args_is_help=True)
app.command("init")(release_keys.init)
app.add_typer(release_channels.channel_app, name="channel")
app.add_typer(release_keys.key_app, name="key")
app.add_typer(release_roots.root_app, name="root")
app.command("rotate-keys")(release_roots.rotate_keys)
app.command("show")(release_show.show)
app.command("verify")(release_show.verify)
app.command("serve")(release_show.serve)

ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="alpha, beta, stable, …")]
VersionOption = Annotated[
    str | None, typer.Option("--version", help="Which version; the newest good one unless given.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why: machines show it to their owners.")]
WavesOption = Annotated[str, typer.Option("--waves", help=f"{', '.join(PLANS)}, or HOURS:PERCENT,…")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Edit = Callable[[Channel], Channel]


@app.command("publish")
def publish_image(  # noqa: PLR0913, PLR0917 — one parameter, one option
    ctx: typer.Context,
    image: Annotated[
        str | None, typer.Argument(help="A version, or an image's folder; the newest unless given.")
    ] = None,
    channel: Annotated[str, typer.Option("--channel", help="Where to publish it.")] = "alpha",
    waves: WavesOption = "default",
    patches: Annotated[int, typer.Option("--patches", help="From how many predecessors to make patches.", min=0)] = 3,
    notes: Annotated[
        Path | None, typer.Option("--notes", help="A text for people; the changed packages unless given.")
    ] = None,
    floor: Annotated[str, typer.Option("--floor", help="Make it a floor, for this reason.")] = "",
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Publish an image on a channel: index, blobs, patches, SBOM, and what changed since the version before."""
    log = steps(ctx)
    where = Home(home, keys_from or ())
    why = floor and edits.reason_given(floor)
    wish = Publication(channel, parse_waves(waves), 0 if dry_run else patches, _text(notes), why)
    with where.changing() as repository, log.step("Publishing"), _workplace(home) as work:
        state = repository.load()
        with log.step("Reading the image"):
            built = BuiltImage.read(_folder(image))
        zstd = _zstd(log, Path(work), state.document(channel), wish.predecessors)
        plan = publish.plan(repository.storage, state, built, wish, Path(work), zstd, log, now())
        for change in plan.packages:
            log.note(change.said())
        _foretell(log, state, plan.channel)
        if dry_run:
            return
        with log.step(f"Signing and storing {built.version}"):
            repository.commit(state, plan.change, now())
    typer.echo(f"{built.version} is on {channel}")


@app.command()
def promote(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="The channel that has it.")],
    target: Annotated[str, typer.Argument(help="The channel that gets it.")],
    version: VersionOption = None,
    waves: WavesOption = "default",
    patches: Annotated[int, typer.Option("--patches", help="From how many predecessors to make patches.", min=0)] = 3,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Give a channel the version another one has: the same bytes, nothing is built again."""
    log = steps(ctx)
    with Home(home, keys_from or ()).changing() as repository, _workplace(home) as work:
        state = repository.load()
        entry = edits.find(state.document(source), _version(version))
        promoted = edits.promote(
            state.document(source), state.document(target), entry.version, parse_waves(waves), now()
        )
        _foretell(log, state, promoted)
        if dry_run:
            return
        zstd = _zstd(log, Path(work), state.document(target), patches)
        change = publish.promotion(
            repository.storage, state, source, promoted, entry.version, Path(work), zstd, log, patches
        )
        repository.commit(state, change, now())
    typer.echo(f"{entry.version} is on {target}")


@app.command()
def wave(
    ctx: typer.Context,
    channel: ChannelArgument,
    waves: Annotated[str, typer.Argument(help=f"{', '.join(PLANS)}, or HOURS:PERCENT,…")],
    version: VersionOption = None,
    group: Annotated[str, typer.Option("--group", help="For the machines of this group alone.")] = "",
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Change how fast a version spreads, from the share on that it has reached."""
    plan = parse_waves(waves)
    _edit(ctx, Home(home, keys_from or ()), channel, lambda c: edits.wave(c, _version(version), plan, now(), group),
          dry_run=dry_run, group=group)  # fmt: skip


@app.command()
def halt(
    ctx: typer.Context, channel: ChannelArgument, reason: ReasonOption, version: VersionOption = None,
    keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Stop a version from spreading. Who has it keeps it."""
    _edit(ctx, Home(home, keys_from or ()), channel, lambda c: edits.halt(c, _version(version), reason, now()),
          dry_run=dry_run)  # fmt: skip


@app.command()
def resume(
    ctx: typer.Context, channel: ChannelArgument, version: VersionOption = None,
    keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Let a halted version go on where it stood."""
    _edit(ctx, Home(home, keys_from or ()), channel, lambda c: edits.resume(c, _version(version), now()),
          dry_run=dry_run)  # fmt: skip


@app.command("pull-back")
def pull_back(
    ctx: typer.Context,
    channel: ChannelArgument,
    reason: ReasonOption,
    version: VersionOption = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Where to; the newest good version below (not halted, no dead end) unless given."),
    ] = None,
    waves: WavesOption = "urgent",
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Take a version back: nobody gets it any more, and who has it goes down again."""
    plan = parse_waves(waves)

    def edit(one: Channel) -> Channel:
        return edits.pull_back(one, _version(version), _version(to), reason, plan, now())

    _edit(ctx, Home(home, keys_from or ()), channel, edit, dry_run=dry_run)


@app.command()
def floor(
    ctx: typer.Context, channel: ChannelArgument, version: Annotated[str, typer.Argument(help="Which version.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; left out, it is a floor no more.")] = "",
    keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Make a version one that older machines must pass through."""
    _edit(ctx, Home(home, keys_from or ()), channel, lambda c: edits.floor(c, _version(version), reason, now()),
          dry_run=dry_run)  # fmt: skip


@app.command("dead-end")
def dead_end(
    ctx: typer.Context, channel: ChannelArgument, version: Annotated[str, typer.Argument(help="Which version.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; left out, it is a dead end no more.")] = "",
    keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Say of a version that machines which run it cannot be updated."""
    _edit(ctx, Home(home, keys_from or ()), channel, lambda c: edits.dead_end(c, _version(version), reason, now()),
          dry_run=dry_run)  # fmt: skip


@app.command()
def secure(
    ctx: typer.Context, channel: ChannelArgument, version: Annotated[str, typer.Argument(help="Which version.")],
    keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Name the oldest version that is still secure. Nothing leads below it."""
    _edit(ctx, Home(home, keys_from or ()), channel, lambda c: edits.secure(c, Version.parse(version), now()),
          dry_run=dry_run)  # fmt: skip


@app.command()
def renew(
    ctx: typer.Context, keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False
) -> None:
    """Sign anew what would expire: the timestamp always, the rest in the last third of its time. Made for a timer."""
    log = steps(ctx)
    moment = now()
    with Home(home, keys_from or ()).changing() as repository, log.step("Renewing"):
        state = repository.load()
        due, cannot = repository.due(state, moment)
        renewed = state if dry_run else repository.commit(state, Change(renew=due), moment)
        for role in (*due, "snapshot", "timestamp"):
            would = "would be renewed; it " if dry_run else ""
            log.note(f"{role} {would}is good until {renewed.signed(role).expires:%Y-%m-%d}")
    if state.root.expires - moment < LIFETIMES["root"] / 4:
        typer.echo(f"root is good until {state.root.expires:%Y-%m-%d}: orlop release root renew", err=True)
    if cannot:
        raise Missing(
            f"expires soon and cannot be signed here: {', '.join(cannot)}",
            hint="run the same with --keys and the folder that has the other keys",
        )


@app.command("repair")
def repair_image(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(help="A version, or an image's folder: the very image that was published.")],
    home: HomeOption = DEFAULT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is damaged, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store anew what the storage has damaged or lost of a published image. Nothing is signed: it needs no key."""
    log = steps(ctx)
    with Home(home).changing() as repository:
        with log.step(f"Reading what is stored of {image}"):
            damaged = repair.damaged(repository.storage, repository.load(), BuiltImage.read(_folder(image)))
        for path, blob in damaged.items():
            if not as_json:
                typer.echo(path)
            if not dry_run:
                store_blob(repository.storage, path, blob)
        if as_json:
            typer.echo(json.dumps({"stored": not dry_run, "blobs": list(damaged)}, indent=2))
            return
        typer.echo(f"{len(damaged)} blobs {'would be' if dry_run else 'were'} stored anew")


@app.command("gc")
def collect(
    ctx: typer.Context,
    keep: Annotated[
        int | None, typer.Option("--keep", help="First let each channel forget all but so many versions.", min=1)
    ] = None,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove what nothing leads to any more."""
    log = steps(ctx)
    with Home(home, keys_from or ()).changing() as repository:
        state = repository.load()
        if keep is not None:
            state = _forget(log, repository, state, keep, dry_run=dry_run)
        garbage = gc.garbage(repository.storage, state)
        size = sum(item.bytes for item in garbage)
        if not dry_run:
            with log.step(f"Removing {len(garbage)} files"):
                gc.collect(repository.storage, garbage)
        if as_json:
            files = [{"path": item.path, "bytes": item.bytes} for item in garbage]
            typer.echo(json.dumps({"removed": not dry_run, "bytes": size, "files": files}, indent=2))
            return
        for item in garbage if dry_run else ():
            typer.echo(item.path)
        typer.echo(f"{len(garbage)} files, {size / 1e6:.1f} MB{' would go' if dry_run else ' are gone'}")


def _forget(log: Steps, repository: Repository, state: RepositoryState, keep: int, *, dry_run: bool) -> RepositoryState:
    documents, drop = {}, {}
    for name, channel in state.documents.items():
        shortened, gone = edits.forget(channel, keep, now())
        if gone:
            documents[name] = shortened
            drop[name] = [image.index for entry in gone for image in entry.images]
            log.note(f"{name} forgets {', '.join(str(entry.version) for entry in gone)}")
    if dry_run or not documents:
        return state
    return repository.commit(state, Change(documents=documents, drop=drop), now())


def _edit(ctx: typer.Context, home: Home, name: str, edit: Edit, *, dry_run: bool, group: str = "") -> None:
    """Change a channel's document, saying first what machines will do."""
    log = steps(ctx)
    with home.changing() as repository:
        state = repository.load()
        edited = edit(state.document(name))
        _foretell(log, state, edited, group)
        if not dry_run:
            repository.commit(state, Change(documents={name: edited}), now())


def _foretell(log: Steps, state: RepositoryState, channel: Channel, group: str = "") -> None:
    where = f"channel {channel.name}" + (f", group {group}" if group else "")
    log.note(f"what machines on {where} will do:")
    for line in preview(state.documents.get(channel.name), channel, group=group):
        log.note(f"  {line}")


def _version(text: str | None) -> Version | None:
    return None if text is None else Version.parse(text)


def _text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = path.read_text().strip()
    except (OSError, ValueError) as e:
        raise BadInput(f"{path} cannot be read: {e}", hint="--notes names a text file") from None
    if len(text) > MAX_NOTES or not all(c.isprintable() or c == "\n" for c in text):
        raise BadInput(
            f"the notes in {path} have {len(text)} characters: they must be at most {MAX_NOTES}, all of them printable",
            hint="nothing was changed; a longer text can stand elsewhere, and the notes say where",
        )
    return text


def _folder(image: str | None) -> Path:
    if image is not None and Path(image).is_dir():
        return Path(image)
    return find(workspace(), image)


def _workplace(home: Path) -> tempfile.TemporaryDirectory[str]:
    """For patches. By its whole path: the SDK's programs run in another folder than the caller."""
    return tempfile.TemporaryDirectory(dir=home.resolve())


def _zstd(log: Steps, work: Path, channel: Channel, patches: int) -> Sequence[str]:
    """The SDK's zstd, which may write in `work`, when there is something to make patches from."""
    if not patches or not channel.entries:
        return ()
    ws = workspace()
    ensure(ws, log)
    return in_sdk(ws, ["zstd"], binds=[work.resolve()])
