"""`orlop release`: the keys. Making a repository, new keys, roots that travel, rotation."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Annotated

import typer
from tuf.api.metadata import Root

from orlop.cli.release_home import DEFAULT, Home, HomeOption, KeysOption, new_passphrase, now
from orlop.cli.session import steps
from orlop.control.releases import ceremony, keys
from orlop.control.releases.keys import SUFFIX, KeyFile, Keyring
from orlop.control.releases.repository import TOP, Change, Repository, State, must_be_new
from orlop.errors import BadInput, Missing
from orlop.files import made_beside, write_atomic
from orlop.model.channel import STANDARD, check_name

ONLINE = TOP[1:]
key_app = typer.Typer(help="Keys: make one, use one from elsewhere, give away its public half.", no_args_is_help=True)
root_app = typer.Typer(help="Roots that are signed on separate machines.", no_args_is_help=True)
DraftArgument = Annotated[Path | None, typer.Argument(help="The draft; the publisher's own unless given.")]


def init(
    ctx: typer.Context,
    home: HomeOption = DEFAULT,
    channel: Annotated[list[str] | None, typer.Option("--channel", help="Its channels; may be repeated.")] = None,
    root_keys: Annotated[int, typer.Option("--root-keys", help="How many root keys to make.", min=1, max=20)] = 3,
    threshold: Annotated[int, typer.Option("--threshold", help="How many of them sign a root.", min=1)] = 2,
    root_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--root-key", help="Public half of a root key made elsewhere; may be repeated. None is made here."
        ),
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="Keep it there: s3://BUCKET/PREFIX?endpoint=URL&region=NAME.")
    ] = None,
) -> None:
    """Make a repository and its keys. With --root-key the first root is a draft for the others to sign."""
    channels = [check_name(name) for name in channel or STANDARD]
    if home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise BadInput(f"{home} is not empty", hint="choose another folder with --home: nothing was changed")
    given = [keys.read(path).public_half for path in root_key or []]
    words = new_passphrase()
    moment = now()
    with steps(ctx).step("Making keys"), made_beside(home) as work:
        made = Home(work)
        if storage:
            write_atomic(made.address, storage + "\n")
        must_be_new(made.storage)
        salt = keys.new_salt()
        roots = given or [keys.generate(f"root-{n}", words, salt) for n in range(1, root_keys + 1)]
        own = {name: keys.generate(name, words, salt) for name in (*ONLINE, *channels)}
        draft = ceremony.first({"root": roots, **{role: [own[role]] for role in ONLINE}}, threshold, moment)
        for key in own.values():
            keys.write(made.keys, key)
        for key in roots:
            keys.write(made.root_keys, key)
        if given:
            write_atomic(made.draft, ceremony.encode(draft))
        else:
            ring = Keyring([made.keys, made.root_keys], lambda: words)
            ceremony.sign(draft, ring)
            write_atomic(made.root, ceremony.encode(draft))
            ceremony.create(made.repository(ring), draft, {name: own[name] for name in channels}, moment)
        work.chmod(0o700)
    if given:
        typer.echo(f"{Home(home).draft}: the first root, to be signed by {threshold} of {len(roots)} root keys")
        typer.echo("then: orlop release root apply")
    else:
        typer.echo(f"{storage or home / 'repo'} is a repository with the channels {', '.join(channels)}")
        typer.echo(
            f"{home}/root.json goes into images; take the keys in {home}/root-keys away to {len(roots)} safe places"
        )


@key_app.command("new")
def key_new(
    name: Annotated[str, typer.Argument(help="What to call it, for example root-anna.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for it.")] = Path(),
) -> None:
    """Make a key, encrypted by a passphrase, and a file with its public half."""
    key = keys.generate(_named(name), new_passphrase())
    path = keys.write(out, key)
    typer.echo(path)
    typer.echo(_write_public(path, key))


@key_app.command("command")
def key_command(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    public: Annotated[str, typer.Argument(help="Its Ed25519 public key, 64 hexadecimal digits.")],
    command: Annotated[list[str], typer.Argument(help="The program that signs, after --.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for it.")] = Path(),
) -> None:
    """Use a key that a program signs with: payload on its input, signature in hexadecimal on its output."""
    key = keys.by_command(_named(name), public, command)
    path = keys.write(out, key)
    typer.echo(path)
    typer.echo(_write_public(path, key))


@key_app.command("public")
def key_public(path: Annotated[Path, typer.Argument(help="A key.")]) -> None:
    """Write the public half of a key beside it."""
    typer.echo(_write_public(path, keys.read(path)))


def _named(name: str) -> str:
    if not name or len(name) > 40 or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise BadInput(f"{name!r} cannot be the name of a key", hint="letters, digits, - and _, at most 40")
    return name


def _write_public(path: Path, key: KeyFile) -> Path:
    out = path.with_suffix(".pub")
    write_atomic(out, keys.encode(key.public_half))
    return out


@root_app.command("show")
def root_show(draft: DraftArgument = None, home: HomeOption = DEFAULT) -> None:
    """What a draft changes, and who has signed it."""
    found, old = _draft(Home(home), draft)
    for line in ceremony.described(found, old):
        typer.echo(line)
    for vote in ceremony.votes(found, old):
        missing = f"; not yet: {', '.join(i[:8] for i in vote.missing)}" if vote.missing and not vote.enough else ""
        typer.echo(f"signed for {vote.whose} by {len(vote.signed)} of {vote.threshold}{missing}")


@root_app.command("sign")
def root_sign(draft: DraftArgument = None, keys_from: KeysOption = None, home: HomeOption = DEFAULT) -> None:
    """Sign a draft with the root keys that are here. Nothing but the draft and the keys is needed."""
    where = Home(home, keys_from or ())
    path = draft or where.draft
    found, old = _draft(where, draft)
    for line in ceremony.described(found, old):
        typer.echo(line, err=True)
    signed = ceremony.sign(found, where.keyring())
    write_atomic(path, ceremony.encode(found))
    typer.echo(f"{path}: signed by {', '.join(f'{k.name} ({k.keyid[:8]})' for k in signed)}")


@root_app.command("apply")
def root_apply(
    ctx: typer.Context, draft: DraftArgument = None, keys_from: KeysOption = None, home: HomeOption = DEFAULT
) -> None:
    """Put a signed draft into the repository; the first one makes the repository."""
    where = Home(home, keys_from or ())
    found, _ = _draft(where, draft)
    with steps(ctx).step(f"Putting root {found.signed.version} into the repository"), where.storage.lock():
        if found.signed.version == 1:
            must_be_new(where.storage)
            ceremony.must_be_whole(found, None)
            ring = where.keyring()
            channels = {k.name: k for k in ring.keys.values() if k.signs and k.name not in TOP and _may_sign(found, k)}
            write_atomic(where.root, ceremony.encode(found))
            ceremony.create(where.repository(ring), found, channels, now())
        else:
            repository = where.repository()
            retire(where, ceremony.apply(repository, found, now()))
    where.draft.unlink(missing_ok=True)


def _may_sign(draft: ceremony.Draft, key: KeyFile) -> bool:
    """The key is no root key and of no top role: a channel's."""
    return all(key.keyid not in role.keyids for role in draft.signed.roles.values())


def _draft(home: Home, path: Path | None) -> tuple[ceremony.Draft, Root | None]:
    """The draft and the root before it, where this machine has the repository."""
    path = path or home.draft
    try:
        draft = ceremony.decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise Missing(f"there is no draft {path}", hint="orlop release rotate-keys makes one") from None
    before = home.storage.read(f"metadata/{draft.signed.version - 1}.root.json")
    return draft, ceremony.decode(before, "the root before it").signed if before else None


def rotate_keys(
    ctx: typer.Context,
    role: Annotated[str, typer.Argument(help="root, targets, snapshot, timestamp, or a channel.")],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", help="Its new key, from a file; made here unless given. May be repeated."),
    ] = None,
    threshold: Annotated[int | None, typer.Option("--threshold", help="How many of its keys sign.", min=1)] = None,
    keys_from: KeysOption = None,
    home: HomeOption = DEFAULT,
) -> None:
    """Give a role new keys, and take the old ones from it: after a loss, a theft, or because it is time.

    For a channel this is done at once. For the others it makes a new root, which is put into the repository when enough
    root keys are here, and is otherwise a draft for `orlop release root sign`.
    """
    where = Home(home, keys_from or ())
    with where.changing() as repository:
        state = repository.load()
        if role not in (*TOP, *state.channels):
            have = ", ".join((*TOP, *state.channels))
            raise BadInput(f"there is no role {role}", hint=f"there are: {have}")
        new = _new_keys(where, state, role, key)
        if role in TOP:
            _rotate_top(ctx, where, repository, state, role, new, threshold)
        else:
            _rotate_channel(ctx, where, repository, state, role, new)


def _new_keys(where: Home, state: State, role: str, given: list[Path] | None) -> list[KeyFile]:
    """The keys for the role, kept where the command will find them."""
    folder = where.root_keys if role == "root" else where.keys
    if given:
        found = [keys.read(path) for path in given]
    else:
        words = new_passphrase()
        count = len(state.keyids(role))
        names = [f"root-{n}" for n in range(1, count + 1)] if role == "root" else [role] * count
        salt = keys.new_salt()
        found = [keys.generate(name, words, salt) for name in names]
    for key in found:
        keys.write(folder, key)
    return found


def _rotate_channel(
    ctx: typer.Context, where: Home, repository: Repository, state: State, name: str, new: list[KeyFile]
) -> None:
    if len(new) != 1:
        raise BadInput(f"channel {name} has one key, {len(new)} were given", hint="give one --key")
    targets = deepcopy(state.targets)
    ceremony.delegate(targets, name, new[0])
    repository.keyring.add(new[0])
    with steps(ctx).step(f"Giving {name} a new key"):
        retire(where, repository.commit(state, Change(targets=targets, renew=[name]), now()))
    typer.echo(f"{name} is signed by {new[0].keyid[:8]} from now on")


def _rotate_top(
    ctx: typer.Context,
    where: Home,
    repository: Repository,
    state: State,
    role: str,
    new: list[KeyFile],
    threshold: int | None,
) -> None:
    draft = ceremony.following(state.root, now())
    if where.draft.exists():
        begun = ceremony.decode(where.draft.read_bytes(), str(where.draft))
        if begun.signed.version == draft.signed.version:
            draft = begun
            draft.signatures.clear()
    ceremony.replace_keys(draft, role, new, threshold)
    for key in new:
        repository.keyring.add(key)
    write_atomic(where.draft, ceremony.encode(draft))
    roots = {*state.keyids("root"), *draft.signed.roles["root"].keyids}
    if repository.keyring.able(sorted(roots)):
        ceremony.sign(draft, repository.keyring)
        write_atomic(where.draft, ceremony.encode(draft))
    for line in ceremony.described(draft, state.root):
        typer.echo(line, err=True)
    if not all(vote.enough for vote in ceremony.votes(draft, state.root)):
        typer.echo(f"{where.draft}: to be signed by more root keys (orlop release root sign)")
        typer.echo("then: orlop release root apply")
        return
    with steps(ctx).step(f"Putting root {draft.signed.version} into the repository"):
        retire(where, ceremony.apply(repository, draft, now()))
    where.draft.unlink()


def retire(where: Home, state: State) -> None:
    """Move the keys that speak for nothing any more out of the way; they are not removed."""
    used = {i for role in (*TOP, *state.channels) for i in state.keyids(role)}
    for folder in (where.keys, where.root_keys):
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if keys.read(path).keyid not in used:
                (folder / "retired").mkdir(mode=0o700, exist_ok=True)
                shutil.move(path, folder / "retired" / path.name)
