"""`orlop release`: roots that travel to those who sign them, and new keys for a role."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer
from tuf.api.metadata import Root

from orlop.cli.release.home import DEFAULT, DryRun, Home, HomeOption, KeysOption, now
from orlop.cli.release.rotation import begun_draft, keep, new_keys, retire
from orlop.cli.session import steps
from orlop.errors import BadInput, Missing
from orlop.files import write_atomic
from orlop.model.words.strict import stamp
from orlop.publish.channels import channels
from orlop.publish.keys.keys import KeyFile
from orlop.publish.repository.repository import TOP, Repository, RepositoryState, must_be_new
from orlop.publish.roots import ceremony, rotation
from orlop.steps import Steps

root_app = typer.Typer(help="Roots that are signed on separate machines.", no_args_is_help=True)
DraftArgument = Annotated[Path | None, typer.Argument(help="The draft; the publisher's own unless given.")]
HeldOption = Annotated[
    Path | None,
    typer.Option(
        "--root", help="A root that you hold, of this repository: it must vouch for the one before the draft."
    ),
]


@root_app.command("show")
def root_show(
    draft: DraftArgument = None,
    held: HeldOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    home: HomeOption = DEFAULT,
) -> None:
    """What a draft changes, key by key, and who has signed it."""
    where = Home(home)
    the_draft = _draft(where, draft)
    old, known = _before(where, the_draft, held)
    names, votes = where.keyring().names, ceremony.votes(the_draft, old)
    if as_json:
        document = {
            "version": the_draft.signed.version,
            "expires": stamp(the_draft.signed.expires),
            "roles": {role: _role_json(the_draft, old, role, names) for role in TOP},
            "known": known,
            "votes": [{**asdict(vote), "enough": vote.enough} for vote in votes],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for line in (*ceremony.described(the_draft, old, names), known):
        typer.echo(line)
    for vote in votes:
        typer.echo(f"signed for {vote.whose} by {len(vote.signed)} of {vote.threshold}")
        for keyid in () if vote.enough else vote.missing:
            typer.echo(f"  not yet {keyid}  {names.get(keyid, '')}".rstrip())


def _role_json(draft: ceremony.Draft, old: Root | None, role: str, names: Mapping[str, str]) -> dict[str, object]:
    """A role's keys in a draft, and those that it has no more."""
    now_has, had = draft.signed.roles[role], (old or draft.signed).roles[role]
    return {
        "threshold": now_has.threshold,
        "keys": [
            {"id": i, "name": names.get(i), "new": i not in had.keyids, "removed": i not in now_has.keyids}
            for i in sorted({*now_has.keyids, *had.keyids})
        ],
    }


@root_app.command("sign")
def root_sign(
    draft: DraftArgument = None, held: HeldOption = None, keys_from: KeysOption = None, home: HomeOption = DEFAULT
) -> None:
    """Sign a draft with the root keys that are here. Nothing but the draft and the keys is needed."""
    where = Home(home, keys_from or ())
    path = draft or where.draft
    the_draft = _draft(where, draft)
    old, known = _before(where, the_draft, held)
    for line in (*ceremony.described(the_draft, old, where.keyring().names), known):
        typer.echo(line, err=True)
    signed = ceremony.sign(the_draft, where.keyring())
    write_atomic(path, ceremony.encode(the_draft))
    for key in signed:
        typer.echo(f"{path}: signed by {key.name} {key.keyid}")


@root_app.command("apply")
def root_apply(
    ctx: typer.Context,
    draft: DraftArgument = None,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Put a signed draft into the repository; the first one makes the repository."""
    where, log = Home(home, keys_from or ()), steps(ctx)
    the_draft = _draft(where, draft)
    with where.locked():
        if the_draft.signed.version == 1:
            _apply_first(log, where, the_draft, dry_run=dry_run)
        else:
            _apply_next(log, where, the_draft, dry_run=dry_run)
    if not dry_run:
        where.draft.unlink(missing_ok=True)


def _apply_first(log: Steps, where: Home, first: ceremony.Draft, *, dry_run: bool) -> None:
    """Make the repository, with a channel for each key here that the root does not name."""
    must_be_new(where.storage)
    ceremony.must_be_whole(first, None)
    _foretell(
        log, ceremony.described(first, None, where.keyring().names), ["do nothing: none follows this repository yet"]
    )
    if dry_run:
        return
    ring = where.keyring()
    own = {k.name: k for k in ring.keys.values() if k.signs and k.name not in TOP and _may_sign(first, k)}
    with log.step("Making the repository"):
        write_atomic(where.root, ceremony.encode(first))
        ceremony.create(where.repository(ring), first, own, now())


def _apply_next(log: Steps, where: Home, draft: ceremony.Draft, *, dry_run: bool) -> None:
    begun, version = begun_draft(where), draft.signed.version
    repository = where.repository()
    start = rotation.start_of(repository, draft)
    old, changed = start.state.root, rotation.replaced(ceremony.before(draft), draft)
    names = repository.keyring.names
    _foretell(log, ceremony.described(draft, old, names), start.foretold(version, repository.keyring, changed))
    ceremony.must_be_whole(draft, old if old.version < version else None)
    if dry_run:
        return
    with log.step(f"Putting root {version} into the repository"):
        retire(where, rotation.apply(repository, draft, now()), begun)


def _foretell(log: Steps, changes: Sequence[str], machines: Sequence[str]) -> None:
    """What is to be signed, and what machines will do, before anything is."""
    for line in changes:
        typer.echo(line, err=True)
    log.note("what machines will do:")
    for line in machines:
        log.note(f"  {line}")


@root_app.command("renew")
def root_renew(
    ctx: typer.Context, keys_from: KeysOption = None, home: HomeOption = DEFAULT, dry_run: DryRun = False
) -> None:
    """Make the next root with the same keys and a later end.

    When enough root keys are here it is put into the repository; else it is a draft for `orlop release root sign`.
    """
    where = Home(home, keys_from or ())
    with where.changing() as repository:
        begun = begun_draft(where)
        changed = _rotated(begun)
        start = rotation.before_rotation(repository, changed)
        draft = _next(where, start.state, begun)
        machines = start.foretold(draft.signed.version, repository.keyring, changed)
        _foretell(steps(ctx), ceremony.described(draft, start.state.root, repository.keyring.names), machines)
        if not dry_run:
            _put_forward(ctx, where, repository, start.state, draft)


def _may_sign(draft: ceremony.Draft, key: KeyFile) -> bool:
    """The key is no root key and of no top role: a channel's."""
    return all(key.keyid not in role.keyids for role in draft.signed.roles.values())


def _draft(home: Home, path: Path | None) -> ceremony.Draft:
    path = path or home.draft
    try:
        return ceremony.decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise Missing(f"there is no draft {path}", hint="orlop release rotate-keys makes one") from None


def _before(home: Home, draft: ceremony.Draft, held: Path | None) -> tuple[Root | None, str]:
    """The root that a draft changes, and how far that is known."""
    name = f"metadata/{draft.signed.version - 1}.root.json"
    own = home.storage.read(name)
    try:
        previous = ceremony.decode(held.read_bytes(), str(held)) if held else None
    except OSError as e:
        raise BadInput(f"{held} cannot be read: {e.strerror}", hint="--root names a root that you hold") from None
    return ceremony.compared(draft, ceremony.decode(own, name) if own else None, previous)


def rotate_keys(
    ctx: typer.Context,
    roles: Annotated[
        list[str], typer.Argument(metavar="ROLE…", help="root, targets, snapshot, timestamp; or one channel.")
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="The role's new key, from a file; made here unless given. May be repeated."),
    ] = None,
    threshold: Annotated[int | None, typer.Option("--threshold", help="How many of its keys sign.", min=1)] = None,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
    dry_run: DryRun = False,
) -> None:
    """Give a role new keys, and take the old ones from it: after a loss, a theft, or because it is time.

    For a channel this is done at once. For the others it makes one new root, which is put into the repository when
    enough root keys are here, and is otherwise a draft for `orlop release root sign`.
    """
    where, log = Home(home, keys_from or ()), steps(ctx)
    with where.changing() as repository:
        begun = begun_draft(where)
        changed = {*roles, *(_rotated(begun) if roles[0] in TOP else ())} - {"root"}
        start = rotation.before_rotation(repository, changed)
        state = start.state
        _check_roles(state, roles, key or [], alone=bool(key or threshold))
        made_here = [] if key else [f"{role}: as many new keys as it has, made here" for role in roles]
        if roles[0] not in TOP:
            _foretell(log, made_here, ["take the channel's new key at their next check, and nothing else than before"])
            if not dry_run:
                _rotate_channel(ctx, where, repository, state, begun, roles[0], key)
            return
        machines = start.foretold(state.root.version + 1, repository.keyring, changed)
        if dry_run and not key:
            _foretell(log, made_here, machines)
            return
        draft = _next(where, state, begun)
        new: dict[str, list[KeyFile]] = {}
        for role, role_keys in zip(
            roles, new_keys(repository, [_names(state, role) for role in roles], key), strict=True
        ):
            ceremony.replace_keys(draft, role, role_keys, threshold)
            # root keys that are given stay with those they belong to
            new[role] = [one.public_half for one in role_keys] if role == "root" and key else role_keys
        _foretell(log, ceremony.described(draft, state.root, repository.keyring.names), machines)
        if not dry_run:
            _put_forward(ctx, where, repository, state, draft, new)


def _rotated(begun: ceremony.Draft | None) -> list[str]:
    """The roles that get new keys by the draft that is begun."""
    return [] if begun is None else rotation.replaced(ceremony.before(begun), begun)


def _check_roles(state: RepositoryState, roles: list[str], given: list[Path], *, alone: bool) -> None:
    for role in roles:
        if role not in (*TOP, *state.channels):
            have = ", ".join((*TOP, *state.channels))
            raise BadInput(f"there is no role {role}", hint=f"there are: {have}")
    if len(roles) > 1 and (alone or not {*roles} <= {*TOP} or len({*roles}) < len(roles)):
        raise BadInput(
            "several roles at once are of root, targets, snapshot and timestamp, without --key and --threshold",
            hint="rotate the others one by one",
        )
    if roles[0] not in TOP and len(given) > 1:
        raise BadInput(f"channel {roles[0]} has one key, {len(given)} were given", hint="give one --key")


def _names(state: RepositoryState, role: str) -> list[str]:
    """Of the keys that are made for a role: as many as it has."""
    count = len(state.keyids(role))
    return [f"root-{n}" for n in range(1, count + 1)] if role == "root" else [role] * count


def _rotate_channel(
    ctx: typer.Context,
    where: Home,
    repository: Repository,
    state: RepositoryState,
    begun: ceremony.Draft | None,
    name: str,
    given: list[Path] | None,
) -> None:
    (new,) = new_keys(repository, [[name]], given)
    with steps(ctx).step(f"Giving {name} a new key"):
        files, rotated = repository.prepare(state, channels.rekeyed(state, name, new[0]), now())
        keep(where.keys, new)
        repository.write(files.items())
        retire(where, rotated, begun)
    typer.echo(f"{name} is signed by {new[0].keyid} from now on")


def _next(where: Home, state: RepositoryState, begun: ceremony.Draft | None) -> ceremony.Draft:
    """The draft of the next root: the one that is begun, to be signed anew, or a new one."""
    draft = ceremony.following(ceremony.published(where.storage, state.root), now())
    if begun is None or begun.signed.version != draft.signed.version:
        return draft
    begun.signatures.clear()
    begun.signed.expires = draft.signed.expires
    return begun


def _put_forward(
    ctx: typer.Context,
    where: Home,
    repository: Repository,
    state: RepositoryState,
    draft: ceremony.Draft,
    new: Mapping[str, list[KeyFile]] = MappingProxyType({}),
) -> None:
    """Sign the draft with the root keys that are here. If that is enough it goes in; if not, it travels."""
    roots = {*state.keyids("root"), *draft.signed.roles["root"].keyids}
    if repository.keyring.able(sorted(roots)):
        ceremony.sign(draft, repository.keyring)
    whole = all(vote.enough for vote in ceremony.votes(draft, state.root))
    files, applied = rotation.prepare(repository, draft, now()) if whole else ((), state)
    for role, made_here in new.items():
        keep(where.root_keys if role == "root" else where.keys, made_here)
    write_atomic(where.draft, ceremony.encode(draft))
    if not whole:
        typer.echo(f"{where.draft}: to be signed by more root keys (orlop release root sign)")
        typer.echo("then: orlop release root apply")
        return
    with steps(ctx).step(f"Putting root {draft.signed.version} into the repository"):
        repository.write(files)
        retire(where, applied, None)
    where.draft.unlink()
